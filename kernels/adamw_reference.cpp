#include <cmath>

#include "core/error.h"
#include "kernels/adamw.h"

namespace thinkrec::kernels {

void adamw_reference(std::span<const AdamwTensor> tensors, const AdamwStep& step) {
  THINKREC_CHECK(step.step >= 1, "step {}", step.step);
  THINKREC_CHECK(step.beta1 >= 0 && step.beta1 < 1 && step.beta2 >= 0 && step.beta2 < 1, "betas {}, {}", step.beta1, step.beta2);
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  for (const AdamwTensor& tensor : tensors) {
    THINKREC_CHECK(tensor.size >= 0, "a tensor of size {}", tensor.size);
    for (std::int64_t i = 0; i < tensor.size; ++i) {
      const double g = step.gradient_scale * tensor.gradient[i];
      const double m = step.beta1 * tensor.first_moment[i] + (1 - step.beta1) * g;
      const double v = step.beta2 * tensor.second_moment[i] + (1 - step.beta2) * g * g;
      const double w = (1 - step.learning_rate * static_cast<double>(tensor.weight_decay)) * tensor.parameter[i];
      tensor.first_moment[i] = static_cast<float>(m);
      tensor.second_moment[i] = static_cast<float>(v);
      tensor.parameter[i] =
          static_cast<float>(w - step.learning_rate / correction1 * m / (std::sqrt(v) / std::sqrt(correction2) + step.epsilon));
    }
  }
}

GradientNorm gradient_norm_reference(std::span<const AdamwTensor> tensors) {
  double squares = 0;
  bool finite = true;
  for (const AdamwTensor& tensor : tensors) {
    THINKREC_CHECK(tensor.size >= 0, "a tensor of size {}", tensor.size);
    for (std::int64_t i = 0; i < tensor.size; ++i) {
      finite = finite && std::isfinite(tensor.gradient[i]);
      squares += static_cast<double>(tensor.gradient[i]) * tensor.gradient[i];
    }
  }
  return {std::sqrt(squares), finite};
}

}  // namespace thinkrec::kernels
