#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

constexpr std::int64_t kBlock = 1024;  // logits looked at twice while they are in L1: for the maximum, then for the exponentials

struct Normalizer {
  float maximum;
  double sum;  // of exp(logit - maximum)
};

/// One pass with a running maximum. With `shifts` [blocks], each logit becomes exp(logit - shift of its block), the maximum so far: the
/// gradient is then a product away, and no exponential is taken twice.
template <bool kKeep>
Normalizer normalize(float* logits, std::int64_t vocab, float* shifts) {
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
      if constexpr (kKeep) simd::store_lanes<whole>(logits + i, v, count);
      sum += v;
    });
    total.sum += simd::sum(sum);
    if constexpr (kKeep) shifts[begin / kBlock] = total.maximum;
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
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> shifts(static_cast<std::size_t>((vocab + kBlock - 1) / kBlock));
#pragma omp for schedule(static)
    for (std::int64_t row = 0; row < rows; ++row) {
      float* z = logits + row * vocab;
      if (weight[row] == 0) {
        loss[row] = 0;
        if (gradient) std::fill_n(z, vocab, 0.0f);
        continue;
      }
      const float answer = z[target[row]];
      const Normalizer total = gradient ? normalize<true>(z, vocab, shifts.data()) : normalize<false>(z, vocab, nullptr);
      loss[row] = static_cast<float>(std::log(total.sum) + (static_cast<double>(total.maximum) - answer));
      if (!gradient) continue;
      for (std::int64_t begin = 0; begin < vocab; begin += kBlock) {
        const double shift = shifts[static_cast<std::size_t>(begin / kBlock)];
        const auto scale = static_cast<float>(std::exp(shift - total.maximum) * (weight[row] / total.sum));
        simd::for_lanes(begin, std::min(vocab, begin + kBlock), [&](std::int64_t i, std::int64_t count, auto whole) {
          simd::store_lanes<whole>(z + i, simd::load_lanes<whole>(z + i, count) * scale, count);
        });
      }
      z[target[row]] -= weight[row];
    }
  }
}

}  // namespace thinkrec::kernels
