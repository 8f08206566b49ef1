// One block a row: the residual is added while the squares are summed, and the sum is read back from the cache for the output
// (formula: kernels/rms_norm.h).

#include "kernels/cuda/host.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace thinkrec::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

template <class T>
THINKREC_KERNEL(kThreads)
void rms_norm_forward_kernel(const T* x, const T* residual, const T* weight, float eps, std::int64_t width, T* sum, T* out,
                             float* inverse_rms, bool vector) {
  THINKREC_SHARED(float, scratch, kWarps);
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  const T* added = residual == nullptr ? x : sum;  // what the second pass reads
  float squares = 0;
  for_fours(width, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    Float4 value = load4_within(x + row, i, width, vector);
    if (residual != nullptr) {
      const Float4 other = load4_within(residual + row, i, width, vector);
#pragma unroll
      for (int j = 0; j < 4; ++j) value.value[j] += other.value[j];
      store4_within(sum + row, i, width, vector, value);
      value = load4_within(sum + row, i, width, vector);  // as rounded
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) squares += value.value[j] * value.value[j];
  });
  const float inverse = 1.0f / sqrtf(block_sum(squares, scratch, kWarps) / static_cast<float>(width) + eps);
  if (threadIdx.x == 0) inverse_rms[blockIdx.x] = inverse;
  for_fours(width, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    Float4 value = load4_within(added + row, i, width, vector);
    const Float4 w = load4_within(weight, i, width, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) value.value[j] = value.value[j] * inverse * w.value[j];
    store4_within(out + row, i, width, vector, value);
  });
}

template <class T>
THINKREC_KERNEL(kThreads)
void rms_norm_backward_kernel(const T* grad_out, const T* sum, const T* weight, const float* inverse_rms, std::int64_t width,
                              const T* grad_sum, T* grad_x, bool vector) {
  THINKREC_SHARED(float, scratch, kWarps);
  const std::int64_t row = std::int64_t{blockIdx.x} * width;
  float dot = 0;
  for_fours(width, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    const Float4 g = load4_within(grad_out + row, i, width, vector), w = load4_within(weight, i, width, vector);
    const Float4 s = load4_within(sum + row, i, width, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) dot += g.value[j] * w.value[j] * s.value[j];
  });
  const float inverse = inverse_rms[blockIdx.x];
  const float along = block_sum(dot, scratch, kWarps) / static_cast<float>(width) * inverse * inverse;
  for_fours(width, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    Float4 g = load4_within(grad_out + row, i, width, vector);
    const Float4 w = load4_within(weight, i, width, vector), s = load4_within(sum + row, i, width, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) g.value[j] = inverse * (g.value[j] * w.value[j] - s.value[j] * along);
    if (grad_sum != nullptr) {
      const Float4 more = load4_within(grad_sum + row, i, width, vector);
#pragma unroll
      for (int j = 0; j < 4; ++j) g.value[j] += more.value[j];
    }
    store4_within(grad_x + row, i, width, vector, g);
  });
}

}  // namespace

template <class T>
void rms_norm_forward(const T* x, const T* residual, const T* weight, float eps, std::int64_t rows, std::int64_t width, T* sum,
                      T* out, float* inverse_rms, void* stream) {
  require(rows >= 0 && width >= 1, "rms_norm: sizes");
  require((residual == nullptr) == (sum == nullptr), "rms_norm: residual and sum go together");
  if (rows == 0) return;
  const auto kernel = rms_norm_forward_kernel<T>;
  THINKREC_LAUNCH(kernel, static_cast<int>(rows), kThreads, 0, stream, x, residual, weight, eps, width, sum, out, inverse_rms,
                  vectorizable<T>(width, {x, residual, weight, sum, out}));
  check_launch("rms_norm_forward");
}

template <class T>
void rms_norm_backward(const T* grad_out, const T* sum, const T* weight, const float* inverse_rms, std::int64_t rows,
                       std::int64_t width, const T* grad_sum, T* grad_x, void* stream) {
  require(rows >= 0 && width >= 1, "rms_norm: sizes");
  if (rows == 0) return;
  const auto kernel = rms_norm_backward_kernel<T>;
  THINKREC_LAUNCH(kernel, static_cast<int>(rows), kThreads, 0, stream, grad_out, sum, weight, inverse_rms, width, grad_sum,
                  grad_x, vectorizable<T>(width, {grad_out, sum, weight, grad_sum, grad_x}));
  check_launch("rms_norm_backward");
}

#define THINKREC_INSTANTIATE(T)                                                                                              \
  template void rms_norm_forward<T>(const T*, const T*, const T*, float, std::int64_t, std::int64_t, T*, T*, float*, void*); \
  template void rms_norm_backward<T>(const T*, const T*, const T*, const float*, std::int64_t, std::int64_t, const T*, T*, void*);
THINKREC_INSTANTIATE(float)
THINKREC_INSTANTIATE(Bfloat16)
#undef THINKREC_INSTANTIATE

}  // namespace thinkrec::kernels::cuda
