// AdamW over all tensors in one launch, and the norm of all gradients in one pass with the check for NaN and infinity (formula:
// kernels/adamw.h). The grid is (chunks of the largest tensor, tensors); shorter tensors leave their last blocks idle.

#include <cmath>

#include "kernels/cuda/host.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace thinkrec::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kChunk = 4 * kThreads;

/// The step's constants, computed once in fp64.
struct AdamwFactors {
  float gradient_scale, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, inverse_sqrt_correction, epsilon;
  double learning_rate;
};

THINKREC_KERNEL(kThreads)
void adamw_kernel(const AdamwTensor* tensors, AdamwFactors f) {
  const AdamwTensor tensor = tensors[blockIdx.y];
  const float decay = static_cast<float>(1.0 - f.learning_rate * static_cast<double>(tensor.weight_decay));
  for (int k = 0; k < kChunk / kThreads; ++k) {
    const std::int64_t i = std::int64_t{blockIdx.x} * kChunk + k * kThreads + threadIdx.x;
    if (i >= tensor.size) continue;
    const float g = f.gradient_scale * tensor.gradient[i];
    const float m = f.beta1 * tensor.first_moment[i] + f.one_minus_beta1 * g;
    const float v = f.beta2 * tensor.second_moment[i] + f.one_minus_beta2 * g * g;
    tensor.first_moment[i] = m;
    tensor.second_moment[i] = v;
    tensor.parameter[i] = decay * tensor.parameter[i] - f.step_size * m / (sqrtf(v) * f.inverse_sqrt_correction + f.epsilon);
  }
}

/// partial[block] = sum of squares of a chunk; NaN and infinity come through as such.
THINKREC_KERNEL(kThreads)
void gradient_squares_kernel(const AdamwTensor* tensors, double* partial) {
  THINKREC_SHARED(double, scratch, kWarps);
  const AdamwTensor tensor = tensors[blockIdx.y];
  double squares = 0;
  for (int k = 0; k < kChunk / kThreads; ++k) {
    const std::int64_t i = std::int64_t{blockIdx.x} * kChunk + k * kThreads + threadIdx.x;
    if (i < tensor.size) squares += static_cast<double>(tensor.gradient[i]) * static_cast<double>(tensor.gradient[i]);
  }
  const double sum = block_sum(squares, scratch, kWarps);
  if (threadIdx.x == 0) partial[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = sum;
}

/// One block: the partial sums in a fixed order.
THINKREC_KERNEL(kThreads)
void gradient_norm_kernel(const double* partial, std::int64_t n, double* norm) {
  THINKREC_SHARED(double, scratch, kWarps);
  double mine = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) mine += partial[i];
  const double sum = block_sum(mine, scratch, kWarps);
  if (threadIdx.x != 0) return;
  norm[0] = sqrt(sum);
  norm[1] = sum - sum == 0.0 ? 1.0 : 0.0;  // squares of floats do not overflow a double
}

}  // namespace

void adamw(const AdamwTensor* tensors, int count, std::int64_t largest, const AdamwStep& step, void* stream) {
  require(count >= 0 && largest >= 0 && step.step >= 1, "adamw: sizes and step");
  require(step.beta1 >= 0 && step.beta1 < 1 && step.beta2 >= 0 && step.beta2 < 1, "adamw: betas in [0, 1)");
  if (count == 0 || largest == 0) return;
  const double at = static_cast<double>(step.step);
  const double correction1 = 1 - std::pow(step.beta1, at), correction2 = 1 - std::pow(step.beta2, at);
  const AdamwFactors factors{static_cast<float>(step.gradient_scale),
                             static_cast<float>(step.beta1),
                             static_cast<float>(1 - step.beta1),
                             static_cast<float>(step.beta2),
                             static_cast<float>(1 - step.beta2),
                             static_cast<float>(step.learning_rate / correction1),
                             static_cast<float>(1 / std::sqrt(correction2)),
                             static_cast<float>(step.epsilon),
                             step.learning_rate};
  const dim3 grid(static_cast<unsigned>(blocks_for(largest, kChunk)), static_cast<unsigned>(count));
  THINKREC_LAUNCH(adamw_kernel, grid, kThreads, 0, stream, tensors, factors);
  check_launch("adamw");
}

std::int64_t gradient_norm_workspace(int count, std::int64_t largest) {
  return std::int64_t{count} * blocks_for(largest, kChunk);
}

void gradient_norm(const AdamwTensor* tensors, int count, std::int64_t largest, double* workspace, double* norm, void* stream) {
  require(count >= 0 && largest >= 0, "gradient_norm: sizes");
  if (count > 0 && largest > 0) {
    const dim3 grid(static_cast<unsigned>(blocks_for(largest, kChunk)), static_cast<unsigned>(count));
    THINKREC_LAUNCH(gradient_squares_kernel, grid, kThreads, 0, stream, tensors, workspace);
    check_launch("gradient_squares");
  }
  THINKREC_LAUNCH(gradient_norm_kernel, 1, kThreads, 0, stream, workspace, gradient_norm_workspace(count, largest), norm);
  check_launch("gradient_norm");
}

}  // namespace thinkrec::kernels::cuda
