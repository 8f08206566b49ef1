#pragma once
// What kernels take: plain pointers and sizes. No libtorch, no allocation of results, no globals.
// All matrices are row-major and contiguous. `threads` is the number of OpenMP threads to use (>= 1).

#include <cstdint>

// Marks what device code may call too; nothing to a host compiler.
#if defined(__CUDACC__)
#define THINKREC_HOST_DEVICE __host__ __device__
#else
#define THINKREC_HOST_DEVICE
#endif

namespace thinkrec::kernels {

/// Counter-based dropout (see dropout.h): every decision is a pure function of these and of (sample, position, feature).
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;  ///< optimizer step, or draw counter
  std::uint32_t layer = 0;
  float probability = 0;  ///< of dropping; 0 turns it off
};

}  // namespace thinkrec::kernels
