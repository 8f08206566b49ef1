#include "core/error.h"
#include "kernels/simd.h"
#include "kernels/swiglu.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

constexpr std::int64_t kChunk = 8192;  // elements a thread takes at a time

// Calls body over [0, n), each chunk on one thread.
template <class Body>
void for_chunks(std::int64_t n, int threads, const Body& body) {
  const std::int64_t chunks = (n + kChunk - 1) / kChunk;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t c = 0; c < chunks; ++c) simd::for_lanes(c * kChunk, std::min(n, (c + 1) * kChunk), body);
}

}  // namespace

void swiglu_forward(const float* gate, const float* up, std::int64_t n, float* out, int threads) {
  THINKREC_CHECK(n >= 0 && threads >= 1, "n {}, threads {}", n, threads);
  for_chunks(n, threads, [=](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
    const Vec g = simd::load_lanes<whole>(gate + i, count);
    const Vec u = simd::load_lanes<whole>(up + i, count);
    simd::store_lanes<whole>(out + i, g / (1.0f + simd::exp(-g)) * u, count);
  });
}

void swiglu_backward(const float* grad_out, const float* gate, const float* up, std::int64_t n, float* grad_gate, float* grad_up,
                     int threads) {
  THINKREC_CHECK(n >= 0 && threads >= 1, "n {}, threads {}", n, threads);
  for_chunks(n, threads, [=](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
    const Vec d = simd::load_lanes<whole>(grad_out + i, count);
    const Vec g = simd::load_lanes<whole>(gate + i, count);
    const Vec u = simd::load_lanes<whole>(up + i, count);
    const Vec e = simd::exp(-g);
    const Vec s = 1.0f / (1.0f + e);
    // 1 - s without cancellation; where e overflowed s is 0 and 1 - s is 1.
    const Vec rest = e > 1.0f ? 1.0f - s : e * s;
    simd::store_lanes<whole>(grad_gate + i, d * u * (s * (1.0f + g * rest)), count);
    simd::store_lanes<whole>(grad_up + i, d * (g * s), count);
  });
}

}  // namespace thinkrec::kernels
