#pragma once
// A SIMT emulator: with it (-DTHINKREC_SIMT) g++ compiles the .cu files of kernels/cuda as plain C++ and runs them on the host,
// so that a machine without a GPU can prove indexes, barriers and tails. kernels/cuda/device.h lists what a kernel may use.
//
// One fibre per CUDA thread; blocks run in turn, in an order shuffled by the seed; between two barriers the lanes run in an order
// shuffled again. A launch runs to its end before it returns, and throws Fault at the first mistake:
//   barrier     some threads wait at a barrier which others cannot reach (exited, other line, other kind, lane missing from a mask)
//   bounds      shared memory out of bounds, or a red zone of a GuardedArray written (read as well under ASan)
//   uninitialised   shared memory read before this block wrote it
//   race        two threads at one shared element, at least one writing, no barrier between them, not both atomicAdd
//   misaligned  vector access or as<U>() at an address that is not a multiple of its size
//   launch      an empty grid or block, a block above 1024 or above THINKREC_KERNEL, more shared memory than an SM gives a block
//
// Limits. Races in global memory are not looked for (the shuffled order shows some of them), nor are races that need two blocks.
// Neither is a race between partial __syncwarp masks looked for in full: several readers share one time stamp, the earliest.
// A kernel and the emulator belong to one executable. A kernel template is launched with its arguments spelt out, or by a pointer.
// Two threads that write the same value are a race here. __shfl, __ballot, __any order no memory. Nothing here says anything of speed.
// Shared memory is a view: `auto x = tile[i]` does not compile into anything usable (say float x = tile[i]), and structures in it
// are read and written whole. Launches from several host threads follow one another.

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include(<vector_types.h>)
#include <vector_types.h>  // CUDA's own dim3 and uint3, so that cuda_bf16.h may be included as well
#else
struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
#endif

#ifndef __forceinline__
#define __forceinline__ inline __attribute__((always_inline))
#endif
#ifndef __host__
#define __host__
#endif
#ifndef __device__
#define __device__
#endif

#if defined(__SANITIZE_ADDRESS__)
#define THINKREC_SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define THINKREC_SIMT_ASAN 1
#endif
#endif
#ifndef THINKREC_SIMT_ASAN
#define THINKREC_SIMT_ASAN 0
#endif

using cudaStream_t = struct CUstream_st*;

inline uint3 threadIdx;
inline uint3 blockIdx;
inline dim3 blockDim;
inline dim3 gridDim;

namespace simt {

using Stream = cudaStream_t;

enum class Kind { barrier, bounds, uninitialised, race, misaligned, launch };

/// The first mistake of a launch; what() names kernel, block, thread and kind.
class Fault : public std::runtime_error {
 public:
  Fault(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// The order of blocks and lanes in the launches that follow; every launch starts again from it.
void set_seed(std::uint64_t seed);

/// Counts since the process began, for the tests and for measuring the emulator.
struct Statistics {
  std::uint64_t launches = 0;
  std::uint64_t blocks = 0;
  std::uint64_t switches = 0;  // resumptions of a fibre
};
const Statistics& statistics();

inline constexpr std::size_t kStaticSharedLimit = 48 * 1024;
inline constexpr std::size_t kSharedLimit = 227 * 1024;
inline constexpr int kWarpSize = 32;
inline constexpr std::size_t kMaxThreads = 1024;  // of a block

namespace detail {

using Site = std::source_location;

/// Reads or writes of one granule of shared memory that nothing orders, as far as one time stamp can tell.
struct Access {
  std::uint32_t epoch = 0;  // counts block barriers and blocks, over all launches: an old one needs no clearing
  std::uint32_t stamp = 0;  // the earliest warp time among the lanes
  std::uint32_t lanes = 0;
  std::uint16_t warp = 0;
  bool many_warps = false;
  bool atomic = false;
};
struct Granule {
  Access write;
  Access read;
};

/// One shared array of the running block: its bytes, and the granules (of 1, 2 or 4 bytes) that are watched.
struct SharedArray {
  const char* name;
  std::byte* bytes;
  std::size_t size;
  std::size_t granule;
  Granule* granules;
};

/// What a THINKREC_SHARED remembers: the array it stands for in the block that runs.
struct Declaration {
  std::uint64_t block = 0;
  SharedArray* array = nullptr;
};

template <class T>
constexpr std::size_t granule_of() {
  constexpr std::size_t low = sizeof(T) & (~sizeof(T) + 1);
  return low < 4 ? low : 4;
}

enum class Use { read, write, atomic };

SharedArray* static_shared(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule);
SharedArray* dynamic_shared(const char* name, std::size_t granule);
/// SharedMemory::touch (shared_memory.h) by the thread that runs.
std::byte* touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use);
[[noreturn]] void fault(Kind kind, const std::string& message);
void check_aligned(std::uintptr_t address, std::size_t bytes, Site site);

enum class Operation : std::uint8_t { block, warp, shfl, shfl_xor, shfl_down, ballot, any };
void block_barrier(Site site);
std::uint64_t warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width, Site site);

struct LaunchShape {
  const char* kernel;
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes;
  std::size_t max_threads;
};
void launch(const LaunchShape& shape, const std::function<void()>& thread);

/// The THINKREC_KERNEL bound of a function; a Fault for one that has none.
std::size_t bound_of(const char* name, std::uintptr_t function);

template <class... Parameters, class... Args>
void launch_with(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream,
                 const Args&... args) {
  const std::size_t bound = bound_of(name, reinterpret_cast<std::uintptr_t>(kernel));
  launch({name, grid, block, shared_bytes, bound}, [&] { kernel(args...); });
}

void watch(void* bytes, std::size_t size);  // red zones of size kRedZone before and after
void unwatch(void* bytes);
inline constexpr std::size_t kRedZone = THINKREC_SIMT_ASAN ? 0 : 64;

}  // namespace detail

/// An element of shared memory: reads as T, takes = and the compound assignments; & gives the view back. A temporary only.
template <class T>
class Reference {
 public:
  using Value = std::remove_const_t<T>;
  Reference(const detail::SharedArray* array, std::ptrdiff_t offset) : array_(array), offset_(offset) {}
  Reference(const Reference&) = delete;

  operator Value() && { return get(); }
  Value get() const {
    Value value;
    std::memcpy(&value, detail::touch(*array_, offset_, sizeof(T), detail::Use::read), sizeof(T));
    return value;
  }
  void set(const Value& value) const requires(!std::is_const_v<T>) {
    std::memcpy(detail::touch(*array_, offset_, sizeof(T), detail::Use::write), &value, sizeof(T));
  }
  Value operator=(const Value& value) && {
    set(value);
    return value;
  }
  Value operator=(Reference&& other) && { return std::move(*this) = other.get(); }
  template <class U>
  Value operator=(Reference<U>&& other) && {
    return std::move(*this) = static_cast<Value>(other.get());
  }
#define THINKREC_SIMT_COMPOUND(op)                                        \
  template <class U>                                                      \
  Value operator op##=(U&& right)&& {                                     \
    if constexpr (requires { right.get(); }) {                            \
      return std::move(*this) = static_cast<Value>(get() op right.get()); \
    } else {                                                              \
      return std::move(*this) = static_cast<Value>(get() op right);       \
    }                                                                     \
  }
  THINKREC_SIMT_COMPOUND(+)
  THINKREC_SIMT_COMPOUND(-)
  THINKREC_SIMT_COMPOUND(*)
  THINKREC_SIMT_COMPOUND(/)
  THINKREC_SIMT_COMPOUND(%)
  THINKREC_SIMT_COMPOUND(|)
  THINKREC_SIMT_COMPOUND(&)
  THINKREC_SIMT_COMPOUND(^)
  THINKREC_SIMT_COMPOUND(<<)
  THINKREC_SIMT_COMPOUND(>>)
#undef THINKREC_SIMT_COMPOUND
  Value operator++() && { return std::move(*this) += 1; }
  Value operator--() && { return std::move(*this) -= 1; }
  Value operator++(int) && {
    const Value old = get();
    set(static_cast<Value>(old + 1));
    return old;
  }
  Value operator--(int) && {
    const Value old = get();
    set(static_cast<Value>(old - 1));
    return old;
  }
  auto operator&() const;

 private:
  const detail::SharedArray* array_;
  std::ptrdiff_t offset_;  // in bytes
};

/// A pointer into shared memory, checked at every access against the whole array it points into.
template <class T>
class Shared {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Shared() = default;
  Shared(const detail::SharedArray* array, std::ptrdiff_t offset) : array_(array), offset_(offset) {}
  operator Shared<const T>() const { return {array_, offset_}; }

  template <class Index>
  Reference<T> operator[](Index index) const {
    return {array_, offset_ + static_cast<std::ptrdiff_t>(index) * static_cast<std::ptrdiff_t>(sizeof(T))};
  }
  Reference<T> operator*() const { return (*this)[0]; }
  template <class Index>
  requires std::is_integral_v<Index> Shared operator+(Index count) const {
    return {array_, offset_ + static_cast<std::ptrdiff_t>(count) * static_cast<std::ptrdiff_t>(sizeof(T))};
  }
  template <class Index>
  requires std::is_integral_v<Index> Shared operator-(Index count) const { return *this + -static_cast<std::ptrdiff_t>(count); }
  std::ptrdiff_t operator-(Shared other) const { return (offset_ - other.offset_) / static_cast<std::ptrdiff_t>(sizeof(T)); }
  template <class Index>
  Shared& operator+=(Index count) {
    return *this = *this + count;
  }
  template <class Index>
  Shared& operator-=(Index count) {
    return *this = *this - count;
  }
  Shared& operator++() { return *this += 1; }
  bool operator==(const Shared&) const = default;

  /// The same bytes as another type, as reinterpret_cast would give them.
  template <class U>
  Shared<U> as(std::source_location site = std::source_location::current()) const {
    detail::check_aligned(address(), alignof(U), site);
    if (detail::granule_of<U>() < array_->granule) {
      detail::fault(Kind::launch,
                    std::string("shared array ") + array_->name + " is watched by elements wider than the type of as<U>()");
    }
    return {array_, offset_};
  }
  std::uintptr_t address() const {
    return reinterpret_cast<std::uintptr_t>(array_->bytes) + static_cast<std::uintptr_t>(offset_);
  }
  /// Where the bytes of the whole element are, after the checks; for atomicAdd.
  T* atomic_target() const { return reinterpret_cast<T*>(detail::touch(*array_, offset_, sizeof(T), detail::Use::atomic)); }

 private:
  const detail::SharedArray* array_ = nullptr;
  std::ptrdiff_t offset_ = 0;  // in bytes
};

template <class T>
auto Reference<T>::operator&() const {
  return Shared<T>(array_, offset_);
}

inline void check_aligned(const void* pointer, std::size_t bytes, std::source_location site = std::source_location::current()) {
  detail::check_aligned(reinterpret_cast<std::uintptr_t>(pointer), bytes, site);
}
template <class T>
void check_aligned(Shared<T> pointer, std::size_t bytes, std::source_location site = std::source_location::current()) {
  detail::check_aligned(pointer.address(), bytes, site);
}

/// Global memory for a test: exactly as long as asked, so that ASan sees one element too far. Without ASan red zones around it
/// are looked at after each launch. Its bytes start as 0xff, which is NaN in every float format.
template <class T>
class GuardedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t kAlign = 64;

  explicit GuardedArray(std::size_t count) : count_(count) {
    const std::size_t total = count * sizeof(T) + 2 * detail::kRedZone;
    base_ = static_cast<std::byte*>(::operator new (total, std::align_val_t{kAlign}));
    std::memset(base_, 0xff, total);
    if (detail::kRedZone > 0) {
      detail::watch(base_ + detail::kRedZone, count * sizeof(T));
    }
  }
  explicit GuardedArray(const std::vector<T>& values) : GuardedArray(values.size()) {
    if (!values.empty()) {
      std::memcpy(static_cast<void*>(data()), values.data(), values.size() * sizeof(T));
    }
  }
  GuardedArray(GuardedArray&& other) noexcept : base_(other.base_), count_(other.count_) { other.base_ = nullptr; }
  GuardedArray& operator=(GuardedArray&&) = delete;
  ~GuardedArray() {
    if (base_ != nullptr) {
      if (detail::kRedZone > 0) {
        detail::unwatch(base_ + detail::kRedZone);
      }
      ::operator delete (base_, std::align_val_t{kAlign});
    }
  }

  T* data() { return reinterpret_cast<T*>(base_ + detail::kRedZone); }
  const T* data() const { return reinterpret_cast<const T*>(base_ + detail::kRedZone); }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + count_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + count_; }
  std::vector<T> vector() const { return std::vector<T>(begin(), end()); }

 private:
  std::byte* base_ = nullptr;
  std::size_t count_ = 0;
};

template <class T>
GuardedArray<T> guarded(std::size_t count) {
  return GuardedArray<T>(count);
}
template <class T>
GuardedArray<T> guarded(const std::vector<T>& values) {
  return GuardedArray<T>(values);
}

}  // namespace simt

// The bound is written as that many no-ops ahead of the function's entry, and read back from the function's address (bound_of):
// nothing else of a declaration is left once a launch goes through a pointer. sizeof, since gcc 12 folds no other constant there.
// Clang's -fsanitize=function would put a signature of its own between the two.
#if defined(__clang__)
#define THINKREC_SIMT_NO_SIGNATURE __attribute__((no_sanitize("function")))
#else
#define THINKREC_SIMT_NO_SIGNATURE
#endif
#define THINKREC_KERNEL(max_threads) \
  THINKREC_SIMT_NO_SIGNATURE __attribute__((patchable_function_entry(sizeof(char[max_threads]), sizeof(char[max_threads]))))
#define THINKREC_DEVICE inline
#define THINKREC_SHARED(T, name, count)                            \
  static constinit ::simt::detail::Declaration name##_declaration; \
  const ::simt::Shared<T> name(                                    \
      ::simt::detail::static_shared(name##_declaration, #name, sizeof(T) * (count), ::simt::detail::granule_of<T>()), 0)
#define THINKREC_DYNAMIC_SHARED(T, name) \
  const ::simt::Shared<T> name(::simt::detail::dynamic_shared(#name, ::simt::detail::granule_of<T>()), 0)
#define THINKREC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)   \
  ::simt::detail::launch_with(#kernel, kernel, grid, block, shared_bytes, \
                              static_cast<::simt::Stream>(stream) __VA_OPT__(, ) __VA_ARGS__)
#define THINKREC_CHECK_ALIGNED(pointer, bytes) ::simt::check_aligned(pointer, bytes)

inline void __syncthreads(std::source_location site = std::source_location::current()) { simt::detail::block_barrier(site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location site = std::source_location::current()) {
  simt::detail::warp_operation(simt::detail::Operation::warp, mask, 0, 0, simt::kWarpSize, site);
}

namespace simt::detail {
template <class T>
T shuffle(Operation operation, unsigned mask, T value, int parameter, int width, Site site) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "shuffles take numbers of at most 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_operation(operation, mask, bits, parameter, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace simt::detail

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, std::source_location site = std::source_location::current()) {
  return simt::detail::shuffle(simt::detail::Operation::shfl, mask, value, source, width, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  std::source_location site = std::source_location::current()) {
  return simt::detail::shuffle(simt::detail::Operation::shfl_xor, mask, value, lanes, width, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   std::source_location site = std::source_location::current()) {
  return simt::detail::shuffle(simt::detail::Operation::shfl_down, mask, value, static_cast<int>(delta), width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, std::source_location site = std::source_location::current()) {
  return static_cast<unsigned>(
      simt::detail::warp_operation(simt::detail::Operation::ballot, mask, predicate != 0, 0, simt::kWarpSize, site));
}
inline int __any_sync(unsigned mask, int predicate, std::source_location site = std::source_location::current()) {
  return static_cast<int>(
      simt::detail::warp_operation(simt::detail::Operation::any, mask, predicate != 0, 0, simt::kWarpSize, site));
}

// Lanes take turns, so a plain addition is atomic; only shared memory needs its marks.
#define THINKREC_SIMT_ATOMIC_ADD(T)        \
  inline T atomicAdd(T* target, T value) { \
    const T old = *target;                 \
    *target = static_cast<T>(old + value); \
    return old;                            \
  }
THINKREC_SIMT_ATOMIC_ADD(float)
THINKREC_SIMT_ATOMIC_ADD(double)
THINKREC_SIMT_ATOMIC_ADD(int)
THINKREC_SIMT_ATOMIC_ADD(unsigned)
THINKREC_SIMT_ATOMIC_ADD(unsigned long long)
#undef THINKREC_SIMT_ATOMIC_ADD
template <class T>
T atomicAdd(simt::Shared<T> target, std::type_identity_t<T> value) {
  return atomicAdd(target.atomic_target(), value);
}

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }  // the two of CUDA's functions that C's library lacks
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
