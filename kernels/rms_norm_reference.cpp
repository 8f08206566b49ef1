#include <cmath>

#include "core/error.h"
#include "kernels/rms_norm.h"

namespace thinkrec::kernels {

template <class Real>
void rms_norm_forward_reference(const Real* x, const std::type_identity_t<Real>* residual,
                                const std::type_identity_t<Real>* weight, float eps, std::int64_t rows, std::int64_t width,
                                std::type_identity_t<Real>* sum, Real* out, std::type_identity_t<Real>* inverse_rms) {
  THINKREC_CHECK(rows >= 0 && width >= 1, "rows {}, width {}", rows, width);
  THINKREC_CHECK(rows == 0 || (residual == nullptr) == (sum == nullptr), "residual and sum come together");
  for (std::int64_t row = 0; row < rows; ++row) {
    const Real* s = x + row * width;
    if (residual != nullptr) {
      for (std::int64_t i = 0; i < width; ++i) sum[row * width + i] = s[i] + residual[row * width + i];
      s = sum + row * width;
    }
    double squares = 0;
    for (std::int64_t i = 0; i < width; ++i) squares += static_cast<double>(s[i]) * s[i];
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
    inverse_rms[row] = static_cast<Real>(inverse);
    for (std::int64_t i = 0; i < width; ++i) out[row * width + i] = static_cast<Real>(s[i] * inverse * weight[i]);
  }
}

template <class Real>
void rms_norm_backward_reference(const Real* grad_out, const std::type_identity_t<Real>* sum,
                                 const std::type_identity_t<Real>* weight, const std::type_identity_t<Real>* inverse_rms,
                                 std::int64_t rows, std::int64_t width, const std::type_identity_t<Real>* grad_sum,
                                 Real* grad_x) {
  THINKREC_CHECK(rows >= 0 && width >= 1, "rows {}, width {}", rows, width);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t at = row * width;
    const double inverse = inverse_rms[row];
    double mean = 0;
    for (std::int64_t i = 0; i < width; ++i) mean += static_cast<double>(grad_out[at + i]) * weight[i] * sum[at + i];
    mean /= static_cast<double>(width);
    for (std::int64_t i = 0; i < width; ++i) {
      const double h = static_cast<double>(grad_out[at + i]) * weight[i];
      const double through = grad_sum == nullptr ? 0.0 : static_cast<double>(grad_sum[at + i]);
      grad_x[at + i] = static_cast<Real>(inverse * (h - sum[at + i] * inverse * inverse * mean) + through);
    }
  }
}

template void rms_norm_forward_reference(const float*, const float*, const float*, float, std::int64_t, std::int64_t, float*,
                                         float*, float*);
template void rms_norm_forward_reference(const double*, const double*, const double*, float, std::int64_t, std::int64_t, double*,
                                         double*, double*);
template void rms_norm_backward_reference(const float*, const float*, const float*, const float*, std::int64_t, std::int64_t,
                                          const float*, float*);
template void rms_norm_backward_reference(const double*, const double*, const double*, const double*, std::int64_t, std::int64_t,
                                          const double*, double*);

}  // namespace thinkrec::kernels
