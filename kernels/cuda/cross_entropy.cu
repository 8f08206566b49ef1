// One block a row of logits: every thread keeps the maximum and the scaled sum of what it has seen (Milakov and Gimelshein 2018), the
// block merges them, and a second pass writes the gradient in place (formula: kernels/cross_entropy.h).

#include "kernels/cuda/host.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace thinkrec::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr float kNothing = -3.402823466e38f;  // the lowest float: the maximum of no logit at all

/// Maximum and sum of exp(logit - maximum) of two sets together.
struct Online {
  float maximum, sum;
};

THINKREC_DEVICE Online merge(const Online& a, const Online& b) {
  const float maximum = fmaxf(a.maximum, b.maximum);
  return {maximum, a.sum * expf(a.maximum - maximum) + b.sum * expf(b.maximum - maximum)};
}

template <class T>
THINKREC_KERNEL(kThreads)
void softmax_cross_entropy_kernel(T* logits, const std::int64_t* target, const float* weight, std::int64_t vocab, float* loss,
                                  bool gradient, bool vector) {
  THINKREC_SHARED(float, maxima, kWarps);
  THINKREC_SHARED(float, sums, kWarps);
  const std::int64_t row = blockIdx.x;
  T* z = logits + row * vocab;
  const float w = weight[row];
  if (w == 0.0f) {  // the whole block
    if (gradient)
      for_fours(vocab, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
        store4_within(z, i, vocab, vector, Float4{{0, 0, 0, 0}});
      });
    if (threadIdx.x == 0) loss[row] = 0;
    return;
  }
  Online seen{kNothing, 0};
  for_fours(vocab, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    const Float4 four = load4_within(z, i, vocab, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (i + j < vocab) seen = merge(seen, {four.value[j], 1});
    }
  });
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const float maximum = __shfl_xor_sync(kAllLanes, seen.maximum, offset), sum = __shfl_xor_sync(kAllLanes, seen.sum, offset);
    seen = merge(seen, {maximum, sum});
  }
  if (threadIdx.x % kWarp == 0) {
    maxima[threadIdx.x / kWarp] = seen.maximum;
    sums[threadIdx.x / kWarp] = seen.sum;
  }
  const std::int64_t answer = target[row];
  const bool known = answer >= 0 && answer < vocab;
  const float at_target = known ? to_float(z[answer]) : nanf("");  // before the gradient overwrites it
  __syncthreads();
  Online all{maxima[0], sums[0]};
#pragma unroll
  for (int i = 1; i < kWarps; ++i) all = merge(all, {maxima[i], sums[i]});
  if (threadIdx.x == 0) loss[row] = (all.maximum - at_target) + logf(all.sum);
  if (!gradient) return;
  const float scale = w / all.sum;
  for_fours(vocab, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    Float4 four = load4_within(z, i, vocab, vector);
#pragma unroll
    for (int j = 0; j < 4; ++j) four.value[j] = scale * expf(four.value[j] - all.maximum) - (i + j == answer ? w : 0.0f);
    store4_within(z, i, vocab, vector, four);
  });
}

}  // namespace

template <class T>
void softmax_cross_entropy(T* logits, const std::int64_t* target, const float* weight, std::int64_t rows, std::int64_t vocab,
                           float* loss, bool gradient, void* stream) {
  require(rows >= 0 && vocab >= 1, "softmax_cross_entropy: sizes");
  if (rows == 0) return;
  const auto kernel = softmax_cross_entropy_kernel<T>;
  THINKREC_LAUNCH(kernel, static_cast<int>(rows), kThreads, 0, stream, logits, target, weight, vocab, loss, gradient,
                  vectorizable<T>(vocab, {logits}));
  check_launch("softmax_cross_entropy");
}

#define THINKREC_INSTANTIATE(T) \
  template void softmax_cross_entropy<T>(T*, const std::int64_t*, const float*, std::int64_t, std::int64_t, float*, bool, void*);
THINKREC_INSTANTIATE(float)
THINKREC_INSTANTIATE(Bfloat16)
#undef THINKREC_INSTANTIATE

}  // namespace thinkrec::kernels::cuda
