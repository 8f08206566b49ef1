#pragma once
// AdamW over many tensors at once (Loshchilov and Hutter 2019, algorithm 2, as torch.optim.AdamW), element by element:
//   g = gradient_scale * gradient,  w = (1 - learning_rate * weight_decay) * w
//   m = beta1 m + (1 - beta1) g,    v = beta2 v + (1 - beta2) g^2
//   w = w - learning_rate / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon)
// fp32 with fp64 hyperparameters. Results do not depend on `threads`.

#include <span>

#include "kernels/views.h"

namespace thinkrec::kernels {

/// Four arrays of `size` elements. Frozen parameters are left out by the caller.
struct AdamwTensor {
  float* parameter;
  const float* gradient;
  float* first_moment;
  float* second_moment;
  std::int64_t size;
  float weight_decay;
};

struct AdamwStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  std::int64_t step = 1;      ///< 1-based
  double gradient_scale = 1;  ///< min(1, clip / norm) and the like, applied while reading the gradient
};

/// Errors: step < 1, a beta outside [0, 1), a negative size.
void adamw(std::span<const AdamwTensor> tensors, const AdamwStep& step, int threads);
void adamw_reference(std::span<const AdamwTensor> tensors, const AdamwStep& step);

/// The 2-norm of all gradients together.
struct GradientNorm {
  double norm = 0;
  bool finite = true;  ///< no gradient is NaN or infinite
};

/// fp64 sums over chunks of a fixed size, added in order.
GradientNorm gradient_norm(std::span<const AdamwTensor> tensors, int threads);
GradientNorm gradient_norm_reference(std::span<const AdamwTensor> tensors);

}  // namespace thinkrec::kernels
