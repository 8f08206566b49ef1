#include <cmath>

#include "core/error.h"
#include "kernels/yes_bce.h"

namespace thinkrec::kernels {

template <class Real>
void yes_bce_reference(const Real* hidden, const std::type_identity_t<Real>* yes_weight, const std::type_identity_t<Real>* label,
                       const std::type_identity_t<Real>* weight, std::int64_t rows, std::int64_t width, Real* logit, Real* loss,
                       std::type_identity_t<Real>* grad_hidden) {
  THINKREC_CHECK(rows >= 0 && width >= 1, "rows {}, width {}", rows, width);
  for (std::int64_t row = 0; row < rows; ++row) {
    double z = 0;
    for (std::int64_t i = 0; i < width; ++i) z += static_cast<double>(hidden[row * width + i]) * yes_weight[i];
    logit[row] = static_cast<Real>(z);
    double cost = 0, slope = 0;
    if (weight[row] != 0) {
      const double sign = label[row] > Real{0.5} ? 1 : -1;
      cost = std::max(-sign * z, 0.0) + std::log1p(std::exp(-std::abs(z)));
      slope = -sign * weight[row] / (1 + std::exp(sign * z));  // sigmoid(z) - label, without its cancellation
    }
    loss[row] = static_cast<Real>(cost);
    if (grad_hidden == nullptr) continue;
    for (std::int64_t i = 0; i < width; ++i) grad_hidden[row * width + i] = static_cast<Real>(slope * yes_weight[i]);
  }
}

template void yes_bce_reference(const float*, const float*, const float*, const float*, std::int64_t, std::int64_t, float*,
                                float*, float*);
template void yes_bce_reference(const double*, const double*, const double*, const double*, std::int64_t, std::int64_t, double*,
                                double*, double*);

}  // namespace thinkrec::kernels
