#include <cmath>

#include "core/error.h"
#include "kernels/rms_norm.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {

using simd::Vec;

void rms_norm_forward(const float* x, const float* residual, const float* weight, float eps, std::int64_t rows,
                      std::int64_t width, float* sum, float* out, float* inverse_rms, int threads) {
  THINKREC_CHECK(rows >= 0 && width >= 1 && threads >= 1, "rows {}, width {}, threads {}", rows, width, threads);
  THINKREC_CHECK(rows == 0 || (residual == nullptr) == (sum == nullptr), "residual and sum come together");
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* s = x + row * width;
    Vec squares = {};
    if (residual != nullptr) {
      const float* r = residual + row * width;
      float* to = sum + row * width;
      simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
        const Vec v = simd::load_lanes<whole>(s + i, count) + simd::load_lanes<whole>(r + i, count);
        simd::store_lanes<whole>(to + i, v, count);
        squares += v * v;
      });
      s = to;
    } else {
      simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
        const Vec v = simd::load_lanes<whole>(s + i, count);
        squares += v * v;
      });
    }
    const float inverse = 1.0f / std::sqrt(simd::sum(squares) / static_cast<float>(width) + eps);
    inverse_rms[row] = inverse;
    float* y = out + row * width;
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
      const Vec v = simd::load_lanes<whole>(s + i, count) * inverse * simd::load_lanes<whole>(weight + i, count);
      simd::store_lanes<whole>(y + i, v, count);
    });
  }
}

void rms_norm_backward(const float* grad_out, const float* sum, const float* weight, const float* inverse_rms, std::int64_t rows,
                       std::int64_t width, const float* grad_sum, float* grad_x, int threads) {
  THINKREC_CHECK(rows >= 0 && width >= 1 && threads >= 1, "rows {}, width {}, threads {}", rows, width, threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* g = grad_out + row * width;
    const float* s = sum + row * width;
    const float* through = grad_sum == nullptr ? nullptr : grad_sum + row * width;
    float* to = grad_x + row * width;
    Vec products = {};
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
      products += simd::load_lanes<whole>(g + i, count) * simd::load_lanes<whole>(weight + i, count) *
                  simd::load_lanes<whole>(s + i, count);
    });
    const float inverse = inverse_rms[row];
    const float pull = simd::sum(products) / static_cast<float>(width) * inverse * inverse * inverse;
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) {
      const Vec h = simd::load_lanes<whole>(g + i, count) * simd::load_lanes<whole>(weight + i, count) * inverse;
      Vec v = h - simd::load_lanes<whole>(s + i, count) * pull;
      if (through != nullptr) v += simd::load_lanes<whole>(through + i, count);
      simd::store_lanes<whole>(to + i, v, count);
    });
  }
}

}  // namespace thinkrec::kernels
