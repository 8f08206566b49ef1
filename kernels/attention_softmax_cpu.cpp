#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention_softmax.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {

using simd::Vec;

void attention_softmax(const AttentionRows& shape, float* scores, float* log_sum_exp) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    float* s = scores + row * shape.stride;
    const std::int64_t seen = shape.seen[row];
    Vec top = simd::splat(kNone);
    simd::for_lanes(0, seen, [&](std::int64_t i, std::int64_t count, auto whole) {
      Vec v = simd::load_lanes<whole>(s + i, count);
      if constexpr (!whole) v = simd::keep_lanes(v, kNone, count);
      top = simd::max(top, v);
    });
    const float maximum = simd::max(top);
    Vec sums = {};
    simd::for_lanes(0, seen, [&](std::int64_t i, std::int64_t count, auto whole) {
      Vec v = simd::exp(simd::load_lanes<whole>(s + i, count) - maximum);
      if constexpr (!whole) v = simd::keep_lanes(v, 0.0f, count);
      simd::store_lanes<whole>(s + i, v, count);
      sums += v;
    });
    const float sum = simd::sum(sums), share = 1 / sum;
    simd::for_lanes(0, seen, [&](std::int64_t i, std::int64_t count, auto whole) {
      simd::store_lanes<whole>(s + i, simd::load_lanes<whole>(s + i, count) * share, count);
    });
    std::fill(s + seen, s + shape.columns, 0.0f);
    log_sum_exp[row] = maximum + std::log(sum);
  }
}

void attention_delta(std::int64_t rows, std::int64_t width, const float* out, const float* grad_out, float* delta) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float *o = out + row * width, *g = grad_out + row * width;
    Vec sums = {};
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
      sums += simd::load_lanes<whole>(o + i, count) * simd::load_lanes<whole>(g + i, count);
    });
    delta[row] = simd::sum(sums);
  }
}

void attention_softmax_backward(const AttentionRows& shape, const float* log_sum_exp, const float* delta, float* scores,
                                float* grad) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    float *s = scores + row * shape.stride, *g = grad + row * shape.stride;
    const std::int64_t seen = shape.seen[row];
    const float total = log_sum_exp[row], less = delta[row];
    simd::for_lanes(0, seen, [&](std::int64_t i, std::int64_t count, auto whole) {
      const Vec p = simd::exp(simd::load_lanes<whole>(s + i, count) - total);
      simd::store_lanes<whole>(s + i, p, count);
      simd::store_lanes<whole>(g + i, p * (simd::load_lanes<whole>(g + i, count) - less), count);
    });
    std::fill(s + seen, s + shape.columns, 0.0f);
    std::fill(g + seen, g + shape.columns, 0.0f);
  }
}

}  // namespace thinkrec::kernels
