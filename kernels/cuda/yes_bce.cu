// One warp a row: a dot product, the loss, and the gradient while the row is still in the cache (formula: kernels/yes_bce.h).

#include "kernels/cuda/host.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace thinkrec::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = kThreads / kWarp;  // a block

template <class T>
THINKREC_KERNEL(kThreads)
void yes_bce_kernel(const T* hidden, const T* yes_weight, const float* label, const float* weight, std::int64_t rows,
                    std::int64_t width, float* logit, float* loss, T* grad_hidden, bool vector) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t row = std::int64_t{blockIdx.x} * kRows + threadIdx.x / kWarp;
  if (row >= rows) return;  // a whole warp
  const T* h = hidden + row * width;
  float sum = 0;
  for_fours(width, lane, kWarp, [&](std::int64_t i) {
    const Float4 a = load4_within(h, i, width, vector), b = load4_within(yes_weight, i, width, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum += a.value[j] * b.value[j];
  });
  const float z = warp_sum(sum);
  const bool answers = weight[row] != 0.0f;
  const float y = answers ? label[row] : 0.0f;
  if (lane == 0) {
    logit[row] = z;
    // log(1 + e^z) - y z without cancellation: for y = 1 softplus(-z), for y = 0 softplus(z).
    const float toward = y > 0.5f ? -z : z;
    loss[row] = answers ? fmaxf(toward, 0.0f) + log1pf(expf(-fabsf(toward))) : 0.0f;
  }
  if (grad_hidden == nullptr) return;
  // sigmoid(z) - y, for y = 1 as -sigmoid(-z).
  const float small = expf(-fabsf(z));
  const float above = 1.0f / (1.0f + small), below = small / (1.0f + small);  // sigmoid(|z|), sigmoid(-|z|)
  const float slope = y > 0.5f ? -(z >= 0 ? below : above) : (z >= 0 ? above : below);
  const float gradient = answers ? weight[row] * slope : 0.0f;
  for_fours(width, lane, kWarp, [&](std::int64_t i) {
    Float4 b = load4_within(yes_weight, i, width, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) b.value[j] = gradient != 0.0f ? gradient * b.value[j] : 0.0f;
    store4_within(grad_hidden + row * width, i, width, vector, b);
  });
}

}  // namespace

template <class T>
void yes_bce(const T* hidden, const T* yes_weight, const float* label, const float* weight, std::int64_t rows, std::int64_t width,
             float* logit, float* loss, T* grad_hidden, void* stream) {
  require(rows >= 0 && width >= 1, "yes_bce: sizes");
  if (rows == 0) return;
  const bool vector = vectorizable<T>(width, {hidden, yes_weight, grad_hidden});
  const auto kernel = yes_bce_kernel<T>;
  THINKREC_LAUNCH(kernel, blocks_for(rows, kRows), kThreads, 0, stream, hidden, yes_weight, label, weight, rows, width, logit,
                  loss, grad_hidden, vector);
  check_launch("yes_bce");
}

#define THINKREC_INSTANTIATE(T) \
  template void yes_bce<T>(const T*, const T*, const float*, const float*, std::int64_t, std::int64_t, float*, float*, T*, void*);
THINKREC_INSTANTIATE(float)
THINKREC_INSTANTIATE(Bfloat16)
#undef THINKREC_INSTANTIATE

}  // namespace thinkrec::kernels::cuda
