#include <cmath>

#include "core/error.h"
#include "kernels/simd.h"
#include "kernels/yes_bce.h"

namespace thinkrec::kernels {

using simd::Vec;

void yes_bce(const float* hidden, const float* yes_weight, const float* label, const float* weight, std::int64_t rows,
             std::int64_t width, float* logit, float* loss, float* grad_hidden, int threads) {
  THINKREC_CHECK(rows >= 0 && width >= 1 && threads >= 1, "rows {}, width {}, threads {}", rows, width, threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* h = hidden + row * width;
    Vec products = {};
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
      products += simd::load_lanes<whole>(h + i, count) * simd::load_lanes<whole>(yes_weight + i, count);
    });
    const float z = simd::sum(products);
    logit[row] = z;
    const bool answered = weight[row] != 0;
    // The cost of the answer given, log(1 + exp(-m)) with m = z for yes and -z for no: no difference of large numbers anywhere.
    const bool yes = answered && label[row] > 0.5f;
    const float margin = yes ? z : -z;
    const float tail = std::exp(-std::fabs(z));
    loss[row] = answered ? std::fmax(-margin, 0.0f) + std::log1p(tail) : 0.0f;
    if (std::isnan(z)) loss[row] = answered ? z : 0.0f;
    if (grad_hidden == nullptr) continue;
    const float miss = margin >= 0 ? tail / (1.0f + tail) : 1.0f / (1.0f + tail);  // sigmoid(-margin)
    const float slope = answered ? weight[row] * (yes ? -miss : miss) : 0.0f;
    float* g = grad_hidden + row * width;
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
      simd::store_lanes<whole>(g + i, simd::load_lanes<whole>(yes_weight + i, count) * slope, count);
    });
  }
}

}  // namespace thinkrec::kernels
