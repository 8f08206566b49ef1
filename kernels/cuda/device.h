#pragma once
// The language of the .cu files of this folder: CUDA's own, with a few macros where nvcc and the SIMT emulator of the tests
// (tests/simt, -DTHINKREC_SIMT) differ. What is here is all a kernel may use beyond threadIdx, blockIdx, blockDim, gridDim,
// __syncthreads, __syncwarp, __shfl_sync, __shfl_xor_sync, __shfl_down_sync, __ballot_sync, __any_sync and atomicAdd.
//
//   THINKREC_KERNEL(256) void scale(float* x, int n) { ... }         a kernel for blocks of at most 256 threads
//   THINKREC_SHARED(float, tile, 1024);                              static shared memory; use tile[i], tile + i
//   THINKREC_DYNAMIC_SHARED(float, rows);                            the launch's dynamic shared memory, aligned to 16
//   THINKREC_LAUNCH(scale, grid, block, shared_bytes, stream, x, n)  grid and block are dim3 or int
// Device functions that take shared memory are templates on its type: a pointer under nvcc, a checked view in the emulator.

#include <cstdint>

#include "kernels/bfloat16.h"

#ifdef THINKREC_SIMT
#include "tests/simt/simt.h"
#else
#include <cuda_runtime.h>

#define THINKREC_KERNEL(max_threads) __global__ __launch_bounds__(max_threads, 1)
#define THINKREC_DEVICE __device__ __forceinline__
#define THINKREC_SHARED(T, name, count) __shared__ T name[count]
#define THINKREC_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char thinkrec_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(thinkrec_dynamic_shared)
#define THINKREC_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define THINKREC_CHECK_ALIGNED(pointer, bytes)
#endif

namespace thinkrec::kernels::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

struct alignas(16) Float4 {
  float value[4];
};
struct alignas(8) Bfloat16x4 {
  Bfloat16 value[4];
};

/// Four neighbours in one access; aligned to four elements.
THINKREC_DEVICE Float4 load4(const float* from) {
  THINKREC_CHECK_ALIGNED(from, 16);
  return *reinterpret_cast<const Float4*>(from);
}
THINKREC_DEVICE Float4 load4(const Bfloat16* from) {
  THINKREC_CHECK_ALIGNED(from, 8);
  const Bfloat16x4 packed = *reinterpret_cast<const Bfloat16x4*>(from);
  return {{to_float(packed.value[0]), to_float(packed.value[1]), to_float(packed.value[2]), to_float(packed.value[3])}};
}
THINKREC_DEVICE void store4(float* to, const Float4& values) {
  THINKREC_CHECK_ALIGNED(to, 16);
  *reinterpret_cast<Float4*>(to) = values;
}
THINKREC_DEVICE void store4(Bfloat16* to, const Float4& values) {
  THINKREC_CHECK_ALIGNED(to, 8);
  Bfloat16x4 packed;
  for (int i = 0; i < 4; ++i) from_float(values.value[i], packed.value[i]);
  *reinterpret_cast<Bfloat16x4*>(to) = packed;
}

/// row[at .. at + 3] of a row of `width`, zeros beyond it. `vector`: the row starts on four elements and at is a multiple of four.
template <class T>
THINKREC_DEVICE Float4 load4_within(const T* row, std::int64_t at, std::int64_t width, bool vector) {
  if (vector && at + 3 < width) return load4(row + at);
  Float4 out{{0, 0, 0, 0}};
  for (int i = 0; i < 4; ++i) {
    if (at + i < width) out.value[i] = to_float(row[at + i]);
  }
  return out;
}
template <class T>
THINKREC_DEVICE void store4_within(T* row, std::int64_t at, std::int64_t width, bool vector, const Float4& values) {
  if (vector && at + 3 < width) return store4(row + at, values);
  for (int i = 0; i < 4; ++i) {
    if (at + i < width) from_float(values.value[i], row[at + i]);
  }
}

/// body(i) for the fours of a row of n elements that are thread `own`'s of `threads`; the last one may reach beyond n, see load4_within.
template <class Body>
THINKREC_DEVICE void for_fours(std::int64_t n, int own, int threads, Body body) {
  for (std::int64_t i = own * 4; i < n; i += 4 * threads) body(i);  // mutate: equivalent, because load4_within gives zeros
}

/// The sum over the lanes of a warp, on every lane; all lanes call it.
template <class Number>
THINKREC_DEVICE Number warp_sum(Number value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

/// The sum over a block of `warps` whole warps, on every thread; all threads call it. scratch: shared, `warps` elements, free for
/// another use after the next __syncthreads.
template <class Number, class Shared>
THINKREC_DEVICE Number block_sum(Number value, Shared scratch, int warps) {
  value = warp_sum(value);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  Number sum = 0;
  for (int w = 0; w < warps; ++w) sum += scratch[w];
  return sum;
}

/// May rows of `width` elements be read four at a time?
template <class T>
inline bool vectorizable(std::int64_t width, std::initializer_list<const T*> pointers) {
  bool aligned = width % 4 == 0;
  for (const T* pointer : pointers) aligned = aligned && reinterpret_cast<std::uintptr_t>(pointer) % (4 * sizeof(T)) == 0;
  return aligned;
}

inline int blocks_for(std::int64_t work, std::int64_t per_block) { return static_cast<int>((work + per_block - 1) / per_block); }

}  // namespace thinkrec::kernels::cuda
