// The scheduler of the emulator: fibres on pooled stacks, barriers resolved when every lane has stopped, and the shadow of shared
// memory. The order of accesses inside a warp is kept as vector clocks (who has met whom at a __syncwarp), across warps as epochs
// (the number of the block barrier).

#include "simt/simt.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <boost/context/detail/fcontext.hpp>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>

#if THINKREC_SIMT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

// Where the no-ops of each THINKREC_KERNEL begin: a section of the executable, bounded by the linker.
extern "C" {
extern const std::uintptr_t __start___patchable_function_entries[] __attribute__((weak, visibility("hidden")));
extern const std::uintptr_t __stop___patchable_function_entries[] __attribute__((weak, visibility("hidden")));
}

namespace simt {
namespace detail {
namespace {

namespace context = boost::context::detail;

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxThreads = 1024;
constexpr unsigned char kRedByte = 0xa5;

/// Thrown in the fibres that are still waiting when a launch ends with a Fault, to leave their stacks.
struct Unwind {};

void start_switch([[maybe_unused]] void** fake, [[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t size) {
#if THINKREC_SIMT_ASAN
  __sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}
void finish_switch([[maybe_unused]] void* fake, [[maybe_unused]] const void** bottom, [[maybe_unused]] std::size_t* size) {
#if THINKREC_SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake, bottom, size);
#endif
}

/// A stack with a guard page below it, and the coroutine that runs one CUDA thread after another on it. Lives as long as the process.
struct Fibre {
  void* bottom = nullptr;
  context::fcontext_t where = nullptr;
  void* fake_stack = nullptr;
};

enum class Status : std::uint8_t { ready, block_barrier, warp_operation, exited };

struct Thread {
  Fibre* fibre = nullptr;
  uint3 index{};
  int linear = 0;
  int warp = 0;
  int lane = 0;
  Status status = Status::exited;
  Operation operation = Operation::block;
  unsigned mask = 0;
  int parameter = 0;
  int width = 0;
  std::uint64_t value = 0;
  Site site;
};

struct Warp {
  unsigned lanes = 0;  // those that exist
  unsigned waiting = 0;
  std::uint32_t ticket = 1;
  std::array<std::uint32_t, kWarpSize> time;                          // stamps the lane's accesses
  std::array<std::array<std::uint32_t, kWarpSize>, kWarpSize> known;  // known[a][b]: b's accesses up to it come before a's next
};

struct Random {
  std::uint64_t state;
  std::uint32_t below(std::uint32_t bound) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return static_cast<std::uint32_t>(((z >> 32) * bound) >> 32);
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
    }
  }
};

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::barrier:
      return "divergent barrier";
    case Kind::bounds:
      return "out of bounds";
    case Kind::uninitialised:
      return "uninitialised shared memory";
    case Kind::race:
      return "race";
    case Kind::misaligned:
      return "misaligned";
    case Kind::launch:
      return "invalid launch";
  }
  return "";
}

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::block:
      return "__syncthreads";
    case Operation::warp:
      return "__syncwarp";
    case Operation::shfl:
      return "__shfl_sync";
    case Operation::shfl_xor:
      return "__shfl_xor_sync";
    case Operation::shfl_down:
      return "__shfl_down_sync";
    case Operation::ballot:
      return "__ballot_sync";
    case Operation::any:
      return "__any_sync";
  }
  return "";
}

template <class Index>
std::string show(const Index& index) {
  return fmt::format("({}, {}, {})", index.x, index.y, index.z);
}

std::string show(const Site& site) { return fmt::format("{}:{}", site.file_name(), site.line()); }

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

unsigned bit(int lane) { return 1u << lane; }

class Emulator {
 public:
  std::uint64_t seed = 1;
  Statistics statistics;
  std::map<std::byte*, std::size_t> watched;

  void launch(const LaunchShape& shape, const std::function<void()>& thread);
  void block_barrier(Site site);
  std::uint64_t warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width, Site site);
  SharedArray* static_shared(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule);
  SharedArray* dynamic_shared(const char* name, std::size_t granule);
  std::byte* touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use);
  [[noreturn]] void fault(Kind kind, const std::string& message, const Thread* thread);
  const Thread* running() const { return running_; }

 private:
  static void entry(context::transfer_t from);
  void validate(const LaunchShape& shape);
  void run_block(std::uint64_t block);
  void resume(Thread& thread);
  void suspend();
  void unwind();
  Fibre* fibre(std::size_t i);
  bool resolve_block_barrier();
  bool resolve_warps();
  void complete(Warp& warp, int first, unsigned lanes);
  void make_ready(Thread& thread);
  [[noreturn]] void diagnose();
  SharedArray* add_array(const char* name, std::size_t bytes, std::size_t granule);
  bool concurrent(const Access& access, const Thread& me, unsigned* others) const;
  void record(Access& access, const Thread& me, bool atomic) const;
  [[noreturn]] void race(const SharedArray& array, std::size_t offset, const char* what, const Access& access, unsigned others);
  void next_epoch();

  const LaunchShape* shape_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  Random random_{};
  bool unwinding_ = false;
  std::exception_ptr error_;
  Thread* running_ = nullptr;
  context::fcontext_t scheduler_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  std::size_t scheduler_size_ = 0;

  std::deque<Fibre> fibres_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<Thread*> ready_;
  std::vector<Thread*> turn_;
  std::size_t at_block_barrier_ = 0;

  std::uint64_t block_serial_ = 0;
  std::uint32_t epoch_ = 0;
  std::uint32_t block_epoch_ = 0;  // the first of this block: what was written before it is not initialised
  std::deque<SharedArray> arrays_;
  SharedArray* dynamic_ = nullptr;
  struct alignas(128) Line {
    std::byte bytes[128];
  };
  std::vector<Line> arena_ = std::vector<Line>(kSharedLimit / sizeof(Line) + 1);
  std::size_t arena_used_ = 0;
  std::vector<Granule> granules_;
  std::size_t granules_used_ = 0;
};

Emulator& emulator() {
  static Emulator* const instance = new Emulator;  // never destroyed: fibres outlive static destructors
  return *instance;
}

std::recursive_mutex& launch_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void Emulator::fault(Kind kind, const std::string& message, const Thread* thread) {
  const std::string where = thread == nullptr ? "" : fmt::format(", block {}, thread {}", show(blockIdx), show(thread->index));
  throw Fault(kind,
              fmt::format("simt: kernel {}{}: {}: {}", shape_ == nullptr ? "?" : shape_->kernel, where, name_of(kind), message));
}

// Fibres.

Fibre* Emulator::fibre(std::size_t i) {
  while (fibres_.size() <= i) {
    void* memory = mmap(nullptr, kPage + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) {
      throw std::bad_alloc();
    }
    Fibre made;
    made.bottom = static_cast<char*>(memory) + kPage;
    made.where = context::make_fcontext(static_cast<char*>(made.bottom) + kStackBytes, kStackBytes, &Emulator::entry);
    fibres_.push_back(made);
  }
  return &fibres_[i];
}

void Emulator::entry(context::transfer_t from) {
  Emulator& self = emulator();
  finish_switch(nullptr, &self.scheduler_stack_, &self.scheduler_size_);
  self.scheduler_ = from.fctx;
  while (true) {
    try {
      (*self.kernel_)();
    } catch (const Unwind&) {
    } catch (...) {
      if (!self.error_) {
        self.error_ = std::current_exception();
      }
    }
    self.running_->status = Status::exited;
    self.suspend();
  }
}

void Emulator::resume(Thread& thread) {
  ++statistics.switches;
  running_ = &thread;
  threadIdx = thread.index;
  void* fake_stack = nullptr;
  start_switch(&fake_stack, thread.fibre->bottom, kStackBytes);
  const context::transfer_t back = context::jump_fcontext(thread.fibre->where, nullptr);
  finish_switch(fake_stack, nullptr, nullptr);
  thread.fibre->where = back.fctx;
  running_ = nullptr;
}

void Emulator::suspend() {
  Fibre& mine = *running_->fibre;
  start_switch(&mine.fake_stack, scheduler_stack_, scheduler_size_);
  const context::transfer_t back = context::jump_fcontext(scheduler_, nullptr);
  finish_switch(mine.fake_stack, &scheduler_stack_, &scheduler_size_);
  scheduler_ = back.fctx;
}

void Emulator::unwind() {
  unwinding_ = true;
  for (Thread& thread : threads_) {
    // A mask is set by every barrier: a thread without one has not started, and has nothing on its stack.
    if (thread.status != Status::exited && thread.mask != 0) {
      resume(thread);
    }
    thread.status = Status::exited;
  }
  unwinding_ = false;
}

// Launches.

void Emulator::validate(const LaunchShape& shape) {
  const dim3 grid = shape.grid;
  const dim3 block = shape.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    fault(Kind::launch, fmt::format("a grid of {} blocks", show(grid)), nullptr);
  }
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > kMaxThreads) {
    fault(Kind::launch, fmt::format("a block of {} = {} threads", show(block), threads), nullptr);
  }
  if (threads > shape.max_threads) {
    fault(Kind::launch, fmt::format("a block of {} threads, where THINKREC_KERNEL allows {}", threads, shape.max_threads),
          nullptr);
  }
  if (shape.shared_bytes > kSharedLimit) {
    fault(Kind::launch, fmt::format("{} bytes of dynamic shared memory, of at most {}", shape.shared_bytes, kSharedLimit),
          nullptr);
  }
}

void Emulator::launch(const LaunchShape& shape, const std::function<void()>& kernel) {
  if (shape_ != nullptr) {
    fault(Kind::launch, fmt::format("launched {} from a kernel", shape.kernel), running_);
  }
  shape_ = &shape;
  struct Reset {
    Emulator& self;
    ~Reset() {
      self.unwind();
      self.shape_ = nullptr;
      self.kernel_ = nullptr;
      self.error_ = nullptr;
    }
  } reset{*this};
  validate(shape);
  ++statistics.launches;
  kernel_ = &kernel;
  random_ = Random{seed * 0x2545f4914f6cdd1d};
  gridDim = shape.grid;
  blockDim = shape.block;
  if (epoch_ > 0x80000000u) {  // start again before the counter wraps
    granules_.assign(granules_.size(), Granule{});
    epoch_ = 0;
  }

  const std::size_t count = std::size_t{shape.block.x} * shape.block.y * shape.block.z;
  threads_.assign(count, Thread{});
  warps_.resize((count + kWarpSize - 1) / kWarpSize);
  for (std::size_t i = 0; i < count; ++i) {
    Thread& thread = threads_[i];
    thread.fibre = fibre(i);
    thread.linear = static_cast<int>(i);
    thread.warp = static_cast<int>(i / kWarpSize);
    thread.lane = static_cast<int>(i % kWarpSize);
    thread.index.x = static_cast<unsigned>(i % shape.block.x);
    thread.index.y = static_cast<unsigned>(i / shape.block.x % shape.block.y);
    thread.index.z = static_cast<unsigned>(i / shape.block.x / shape.block.y);
  }
  std::vector<std::uint64_t> blocks(std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z);
  std::iota(blocks.begin(), blocks.end(), std::uint64_t{0});
  random_.shuffle(blocks);
  for (const std::uint64_t block : blocks) {
    run_block(block);
  }
  check_red_zones(shape.kernel);
}

void Emulator::run_block(std::uint64_t block) {
  ++statistics.blocks;
  ++block_serial_;
  next_epoch();
  block_epoch_ = epoch_;
  arrays_.clear();
  arena_used_ = 0;
  granules_used_ = 0;
  dynamic_ = nullptr;
  blockIdx.x = static_cast<unsigned>(block % gridDim.x);
  blockIdx.y = static_cast<unsigned>(block / gridDim.x % gridDim.y);
  blockIdx.z = static_cast<unsigned>(block / gridDim.x / gridDim.y);
  for (Warp& warp : warps_) {
    warp.lanes = 0;
    warp.waiting = 0;
    warp.ticket = 1;
    warp.time.fill(1);
    warp.known = {};
  }
  ready_.clear();
  at_block_barrier_ = 0;
  for (Thread& thread : threads_) {
    thread.status = Status::ready;
    thread.operation = Operation::block;
    thread.mask = 0;
    warps_[static_cast<std::size_t>(thread.warp)].lanes |= bit(thread.lane);
    ready_.push_back(&thread);
  }
  std::size_t exited = 0;
  while (exited < threads_.size()) {
    turn_.swap(ready_);
    ready_.clear();
    random_.shuffle(turn_);
    for (Thread* thread : turn_) {
      resume(*thread);
      if (error_) {
        std::rethrow_exception(error_);
      }
      if (thread->status == Status::exited) {
        ++exited;
      }
    }
    const bool warps_moved = resolve_warps();
    if (!warps_moved && !resolve_block_barrier() && exited < threads_.size()) {
      diagnose();
    }
  }
}

void Emulator::next_epoch() { ++epoch_; }

// Barriers.

void Emulator::make_ready(Thread& thread) {
  thread.status = Status::ready;
  ready_.push_back(&thread);
}

void Emulator::block_barrier(Site site) {
  Thread& me = *running_;
  me.status = Status::block_barrier;
  me.operation = Operation::block;
  me.mask = ~0u;
  me.site = site;
  ++at_block_barrier_;
  suspend();
  if (unwinding_) {
    throw Unwind{};
  }
}

std::uint64_t Emulator::warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width,
                                       Site site) {
  Thread& me = *running_;
  if ((mask & bit(me.lane)) == 0) {
    fault(Kind::barrier,
          fmt::format("{} at {} with a mask {:#010x} which leaves out the calling lane {}", name_of(operation), show(site), mask,
                      me.lane),
          &me);
  }
  if (width < 1 || width > kWarpSize || !std::has_single_bit(static_cast<unsigned>(width))) {
    fault(Kind::barrier, fmt::format("{} at {} with a width of {}", name_of(operation), show(site), width), &me);
  }
  me.status = Status::warp_operation;
  me.operation = operation;
  me.mask = mask;
  me.value = value;
  me.parameter = parameter;
  me.width = width;
  me.site = site;
  warps_[static_cast<std::size_t>(me.warp)].waiting |= bit(me.lane);
  suspend();
  if (unwinding_) {
    throw Unwind{};
  }
  return me.value;
}

bool Emulator::resolve_block_barrier() {
  if (at_block_barrier_ != threads_.size()) {
    return false;
  }
  for (const Thread& thread : threads_) {
    if (!same(thread.site, threads_[0].site)) {
      fault(Kind::barrier,
            fmt::format("waits at __syncthreads at {}, thread {} at {}", show(thread.site), show(threads_[0].index),
                        show(threads_[0].site)),
            &thread);
    }
  }
  at_block_barrier_ = 0;
  next_epoch();
  for (Thread& thread : threads_) {
    make_ready(thread);
  }
  return true;
}

bool Emulator::resolve_warps() {
  bool moved = false;
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    Warp& warp = warps_[w];
    Thread* const threads = &threads_[w * kWarpSize];
    for (unsigned left = warp.waiting; left != 0;) {
      const int first = std::countr_zero(left);
      const Thread& leader = threads[first];
      const unsigned lanes = leader.mask & warp.lanes;
      left &= ~bit(first);
      if ((lanes & ~warp.waiting) != 0) {
        continue;
      }
      bool agree = true;
      for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
        const Thread& other = threads[std::countr_zero(rest)];
        agree = agree && other.operation == leader.operation && other.mask == leader.mask && other.width == leader.width &&
                same(other.site, leader.site);
      }
      if (agree) {
        complete(warp, static_cast<int>(w * kWarpSize) + first, lanes);
        left &= ~lanes;
        moved = true;
      }
    }
  }
  return moved;
}

void Emulator::complete(Warp& warp, int first, unsigned lanes) {
  Thread* const threads = &threads_[static_cast<std::size_t>(first / kWarpSize * kWarpSize)];
  const Operation operation = threads_[static_cast<std::size_t>(first)].operation;
  if (operation == Operation::warp) {
    std::array<std::uint32_t, kWarpSize> met{};
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
      for (std::size_t i = 0; i < met.size(); ++i) {
        met[i] = std::max(met[i], warp.known[lane][i]);
      }
      met[lane] = std::max(met[lane], warp.time[lane]);
    }
    ++warp.ticket;
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
      warp.known[lane] = met;
      warp.time[lane] = warp.ticket;
    }
  } else {
    std::array<std::uint64_t, kWarpSize> given{};
    std::uint64_t ballot = 0;
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      given[static_cast<std::size_t>(lane)] = threads[lane].value;
      ballot |= threads[lane].value != 0 ? bit(lane) : 0;
    }
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      Thread& me = threads[lane];
      if (operation == Operation::ballot) {
        me.value = ballot;
      } else if (operation == Operation::any) {
        me.value = ballot != 0;
      } else {
        const int begin = lane & ~(me.width - 1);
        int source = lane;
        if (operation == Operation::shfl) {
          source = begin + (me.parameter & (me.width - 1));
        } else if (operation == Operation::shfl_xor) {
          source = lane ^ me.parameter;
          source = source >= begin + me.width ? lane : source;
        } else {
          source = lane + me.parameter;
          source = source >= begin + me.width ? lane : source;
        }
        if (source < 0 || source >= kWarpSize || (lanes & bit(source)) == 0) {
          fault(Kind::barrier,
                fmt::format("{} at {} reads lane {}, which does not take part (mask {:#010x})", name_of(operation), show(me.site),
                            source, me.mask),
                &me);
        }
        me.value = given[static_cast<std::size_t>(source)];
      }
    }
  }
  warp.waiting &= ~lanes;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    make_ready(threads[std::countr_zero(rest)]);
  }
}

/// Nothing can move: says which threads wait for whom.
void Emulator::diagnose() {
  const auto state = [](const Thread& thread) {
    if (thread.status == Status::exited) {
      return std::string("has exited");
    }
    return fmt::format("waits at {} at {}", name_of(thread.operation), show(thread.site));
  };
  for (const Thread& thread : threads_) {
    if (thread.status != Status::warp_operation) {
      continue;
    }
    const Warp& warp = warps_[static_cast<std::size_t>(thread.warp)];
    for (unsigned rest = thread.mask & warp.lanes; rest != 0; rest &= rest - 1) {
      const Thread& other = threads_[static_cast<std::size_t>(thread.warp * kWarpSize + std::countr_zero(rest))];
      const bool met =
          other.status == Status::warp_operation && other.operation == thread.operation && same(other.site, thread.site);
      if (!met || other.mask != thread.mask || other.width != thread.width) {
        fault(Kind::barrier,
              fmt::format("waits at {} at {} with mask {:#010x}, but its lane {} (thread {}) {}{}", name_of(thread.operation),
                          show(thread.site), thread.mask, other.lane, show(other.index), state(other),
                          met ? fmt::format(" with mask {:#010x}, width {}", other.mask, other.width) : ""),
              &thread);
      }
    }
  }
  const Thread* waits = nullptr;
  const Thread* missing = nullptr;
  for (const Thread& thread : threads_) {
    (thread.status == Status::block_barrier ? waits : missing) = &thread;
  }
  fault(Kind::barrier,
        fmt::format("waits at __syncthreads at {} with {} of {} threads, but thread {} {}", show(waits->site), at_block_barrier_,
                    threads_.size(), show(missing->index), state(*missing)),
        waits);
}

// Shared memory.

SharedArray* Emulator::add_array(const char* name, std::size_t bytes, std::size_t granule) {
  const std::size_t start = (arena_used_ + 127) / 128 * 128;
  const std::size_t count = bytes / granule;
  if (granules_.size() < granules_used_ + count) {
    // Pointers into it are only held by arrays of this block.
    std::vector<Granule> grown(granules_used_ + count);
    std::copy(granules_.begin(), granules_.end(), grown.begin());
    for (SharedArray& array : arrays_) {
      array.granules = grown.data() + (array.granules - granules_.data());
    }
    granules_.swap(grown);
  }
  if (start + bytes > kSharedLimit) {
    fault(Kind::launch,
          fmt::format("shared array {} brings the block to {} bytes, of at most {}", name, start + bytes, kSharedLimit),
          running_);
  }
  arrays_.push_back({name, arena_[0].bytes + start, bytes, granule, granules_.data() + granules_used_});
  arena_used_ = start + bytes;
  granules_used_ += count;
  return &arrays_.back();
}

SharedArray* Emulator::static_shared(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule) {
  if (declaration.block != block_serial_) {
    std::size_t used = bytes;
    for (const SharedArray& array : arrays_) {
      used += &array == dynamic_ ? 0 : array.size;
    }
    if (used > kStaticSharedLimit) {
      fault(Kind::launch,
            fmt::format("shared array {} brings static shared memory to {} bytes, of at most {}", name, used, kStaticSharedLimit),
            running_);
    }
    declaration = {block_serial_, add_array(name, bytes, granule)};
  }
  return declaration.array;
}

SharedArray* Emulator::dynamic_shared(const char* name, std::size_t granule) {
  if (dynamic_ == nullptr) {
    dynamic_ = add_array(name, shape_->shared_bytes / granule * granule, granule);
  }
  if (granule < dynamic_->granule) {
    fault(Kind::launch,
          fmt::format("dynamic shared memory {} was declared before as {} with wider elements", name, dynamic_->name), running_);
  }
  return dynamic_;
}

bool Emulator::concurrent(const Access& access, const Thread& me, unsigned* others) const {
  if (access.epoch != epoch_) {
    return false;
  }
  *others = access.lanes;
  if (access.warp != me.warp) {
    return true;
  }
  *others = access.lanes & ~bit(me.lane);
  if (access.many_warps) {
    return true;
  }
  const auto& known = warps_[static_cast<std::size_t>(me.warp)].known[static_cast<std::size_t>(me.lane)];
  for (unsigned rest = *others; rest != 0; rest &= rest - 1) {
    if (known[static_cast<std::size_t>(std::countr_zero(rest))] < access.stamp) {
      return true;
    }
  }
  return false;
}

/// Adds me to the accesses that nothing orders, or replaces those that all come before.
void Emulator::record(Access& access, const Thread& me, bool atomic) const {
  const std::uint32_t stamp = warps_[static_cast<std::size_t>(me.warp)].time[static_cast<std::size_t>(me.lane)];
  unsigned others = 0;
  if (!concurrent(access, me, &others)) {
    access = {epoch_, stamp, bit(me.lane), static_cast<std::uint16_t>(me.warp), false, atomic};
  } else if (access.warp != me.warp) {
    access.many_warps = true;
  } else {
    access.lanes |= bit(me.lane);
    access.stamp = std::min(access.stamp, stamp);
  }
}

void Emulator::race(const SharedArray& array, std::size_t offset, const char* what, const Access& access, unsigned others) {
  std::string who = "another thread";
  if (others != 0) {
    who = "thread " + show(threads_[static_cast<std::size_t>(access.warp * kWarpSize + std::countr_zero(others))].index);
  }
  fault(Kind::race, fmt::format("{} shared {} at byte {} as {} did, with no barrier between", what, array.name, offset, who),
        running_);
}

std::byte* Emulator::touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use) {
  if (offset < 0 || static_cast<std::size_t>(offset) + bytes > array.size) {
    fault(Kind::bounds,
          fmt::format("shared {}: bytes {} to {} of {}{}", array.name, offset, offset + static_cast<std::ptrdiff_t>(bytes),
                      array.size, &array == dynamic_ ? " that the launch asked for" : ""),
          running_);
  }
  const Thread& me = *running_;
  const auto begin = static_cast<std::size_t>(offset);
  unsigned others = 0;
  for (std::size_t at = begin; at < begin + bytes; at += array.granule) {
    Granule& granule = array.granules[at / array.granule];
    if (use != Use::write && granule.write.epoch < block_epoch_) {
      fault(Kind::uninitialised, fmt::format("shared {} at byte {} is read before it is written", array.name, at), running_);
    }
    if (use == Use::read) {
      if (concurrent(granule.write, me, &others)) {
        race(array, at, "read after write (RAW): reads", granule.write, others);
      }
      record(granule.read, me, false);
      continue;
    }
    const bool atomic = use == Use::atomic;
    if (!(atomic && granule.write.atomic) && concurrent(granule.write, me, &others)) {
      race(array, at, "write after write (WAW): writes", granule.write, others);
    }
    if (concurrent(granule.read, me, &others)) {
      race(array, at, "write after read (WAR): writes", granule.read, others);
    }
    record(granule.write, me, atomic);
    granule.read = Access{};
  }
  return array.bytes + begin;
}

}  // namespace

void block_barrier(Site site) { emulator().block_barrier(site); }

std::uint64_t warp_operation(Operation operation, unsigned mask, std::uint64_t value, int parameter, int width, Site site) {
  return emulator().warp_operation(operation, mask, value, parameter, width, site);
}

SharedArray* static_shared(Declaration& declaration, const char* name, std::size_t bytes, std::size_t granule) {
  return emulator().static_shared(declaration, name, bytes, granule);
}

SharedArray* dynamic_shared(const char* name, std::size_t granule) { return emulator().dynamic_shared(name, granule); }

std::byte* touch(const SharedArray& array, std::ptrdiff_t offset, std::size_t bytes, Use use) {
  return emulator().touch(array, offset, bytes, use);
}

void fault(Kind kind, const std::string& message) { emulator().fault(kind, message, emulator().running()); }

void check_aligned(std::uintptr_t address, std::size_t bytes, Site site) {
  if (address % bytes != 0) {
    fault(Kind::misaligned, fmt::format("an access of {} bytes at {:#x}, at {}", bytes, address, show(site)));
  }
}

std::size_t bound_of(const char* name, std::uintptr_t function) {
  std::uintptr_t nearest = 0;
  for (const std::uintptr_t* entry = __start___patchable_function_entries; entry != __stop___patchable_function_entries;
       ++entry) {
    if (*entry <= function) {
      nearest = std::max(nearest, *entry);
    }
  }
  bool marked = function - nearest <= kMaxThreads;
#if defined(__x86_64__)
  for (std::uintptr_t at = nearest; marked && at < function; ++at) {
    marked = *reinterpret_cast<const unsigned char*>(at) == 0x90;
  }
#endif
  if (!marked) {
    throw Fault(Kind::launch, fmt::format("simt: kernel {}: {}: it has no THINKREC_KERNEL of at most {}", name,
                                          name_of(Kind::launch), kMaxThreads));
  }
  return function - nearest;
}

void launch(const LaunchShape& shape, const std::function<void()>& thread) {
  const std::scoped_lock lock(launch_mutex());
  emulator().launch(shape, thread);
}

void watch(void* bytes, std::size_t size) {
  auto* const first = static_cast<std::byte*>(bytes);
  std::memset(first - kRedZone, kRedByte, kRedZone);
  std::memset(first + size, kRedByte, kRedZone);
  const std::scoped_lock lock(launch_mutex());
  emulator().watched[first] = size;
}

void unwatch(void* bytes) {
  const std::scoped_lock lock(launch_mutex());
  emulator().watched.erase(static_cast<std::byte*>(bytes));
}

void check_red_zones(const char* kernel) {
  for (const auto& [bytes, size] : emulator().watched) {
    for (std::size_t i = 0; i < kRedZone; ++i) {
      for (std::byte* at : {bytes - 1 - i, bytes + size + i}) {
        if (*at != std::byte{kRedByte}) {
          *at = std::byte{kRedByte};
          throw Fault(Kind::bounds, fmt::format("simt: kernel {}: {}: byte {} of a guarded array of {} bytes was written", kernel,
                                                name_of(Kind::bounds), at - bytes, size));
        }
      }
    }
  }
}

}  // namespace detail

void set_seed(std::uint64_t seed) { detail::emulator().seed = seed; }

const Statistics& statistics() { return detail::emulator().statistics; }

}  // namespace simt
