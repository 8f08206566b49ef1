#include "core/error.h"
#include "kernels/rope.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

template <bool kInverse>
void rotate(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position,
            const float* cos, const float* sin, int threads) {
  THINKREC_CHECK(tokens >= 0 && heads >= 0 && head_width >= 2 && head_width % 2 == 0 && threads >= 1,
                 "tokens {}, heads {}, head width {}, threads {}", tokens, heads, head_width, threads);
  const std::int64_t half = head_width / 2;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t token = 0; token < tokens; ++token) {
    const float* c = cos + position[token] * half;
    const float* s = sin + position[token] * half;
    for (std::int64_t head = 0; head < heads; ++head) {
      float* first = x + (token * heads + head) * head_width;
      float* second = first + half;
      simd::for_lanes(0, half, [=](std::int64_t i, std::int64_t count, auto whole) {
        const Vec a = simd::load_lanes<whole>(first + i, count), b = simd::load_lanes<whole>(second + i, count);
        const Vec cosine = simd::load_lanes<whole>(c + i, count);
        const Vec sine = kInverse ? -simd::load_lanes<whole>(s + i, count) : simd::load_lanes<whole>(s + i, count);
        simd::store_lanes<whole>(first + i, a * cosine - b * sine, count);
        simd::store_lanes<whole>(second + i, b * cosine + a * sine, count);
      });
    }
  }
}

}  // namespace

void rope_forward(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position,
                  const float* cos, const float* sin, int threads) {
  rotate<false>(x, tokens, heads, head_width, position, cos, sin, threads);
}

void rope_backward(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position,
                   const float* cos, const float* sin, int threads) {
  rotate<true>(x, tokens, heads, head_width, position, cos, sin, threads);
}

}  // namespace thinkrec::kernels
