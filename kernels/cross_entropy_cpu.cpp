#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

constexpr std::int64_t kBlock = 1024;  // logits looked at twice while they are in L1: once for the maximum, once for the sum

struct Normalizer {
  float maximum;
  double sum;  // of exp(logit - maximum)
};

Normalizer normalize(const float* logits, std::int64_t vocab) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  Normalizer total{kNone, 0};
  for (std::int64_t begin = 0; begin < vocab; begin += kBlock) {
    const std::int64_t end = std::min(vocab, begin + kBlock);
    Vec top = simd::splat(kNone);
    simd::for_lanes(begin, end, [&](std::int64_t i, std::int64_t count, auto whole) {
      Vec v = simd::load_lanes<whole>(logits + i, count);
      if constexpr (!whole) v = simd::keep_lanes(v, kNone, count);
      top = simd::max(top, v);
    });
    const float block_maximum = simd::max(top);
    if (block_maximum > total.maximum) {
      total.sum *= std::exp(static_cast<double>(total.maximum) - block_maximum);
      total.maximum = block_maximum;
    }
    // Nothing but -infinity so far adds nothing (and -infinity less -infinity is NaN); NaN must still come through.
    const float shift = total.maximum == kNone ? 0.0f : total.maximum;
    Vec sum = {};
    simd::for_lanes(begin, end, [&](std::int64_t i, std::int64_t count, auto whole) {
      Vec v = simd::exp(simd::load_lanes<whole>(logits + i, count) - shift);
      if constexpr (!whole) v = simd::keep_lanes(v, 0.0f, count);
      sum += v;
    });
    total.sum += simd::sum(sum);
  }
  return total;
}

}  // namespace

void softmax_cross_entropy(float* logits, const std::int64_t* target, const float* weight, std::int64_t rows, std::int64_t vocab,
                           float* loss, bool gradient, int threads) {
  THINKREC_CHECK(rows >= 0 && vocab >= 1 && threads >= 1, "rows {}, vocab {}, threads {}", rows, vocab, threads);
  for (std::int64_t row = 0; row < rows; ++row) {
    THINKREC_CHECK(weight[row] == 0 || (target[row] >= 0 && target[row] < vocab), "row {}: target {} of {}", row, target[row],
                   vocab);
  }
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t row = 0; row < rows; ++row) {
    float* z = logits + row * vocab;
    if (weight[row] == 0) {
      loss[row] = 0;
      if (gradient) std::fill_n(z, vocab, 0.0f);
      continue;
    }
    const Normalizer total = normalize(z, vocab);
    loss[row] = static_cast<float>(std::log(total.sum) + (static_cast<double>(total.maximum) - z[target[row]]));
    if (!gradient) continue;
    const float scale = static_cast<float>(weight[row] / total.sum);
    simd::for_lanes(0, vocab, [&](std::int64_t i, std::int64_t count, auto whole) {
      const Vec v = simd::exp(simd::load_lanes<whole>(z + i, count) - total.maximum) * scale;
      simd::store_lanes<whole>(z + i, v, count);
    });
    z[target[row]] -= weight[row];
  }
}

}  // namespace thinkrec::kernels
