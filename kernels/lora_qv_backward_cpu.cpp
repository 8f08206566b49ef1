#include <omp.h>

#include "core/error.h"
#include "kernels/lora_qv_simd.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

// Sums over tokens are made of one partial sum per slice of tokens, added in order. The slices depend on the shapes alone, never
// on the number of threads.
constexpr std::int64_t kMaxSlices = 32;
constexpr std::int64_t kMinSliceTokens = 64;
constexpr std::int64_t kMaxPartialFloats = std::int64_t{1} << 24;

struct Projection {
  std::vector<float> a;             // padded [rank, width]
  std::vector<float> b_transposed;  // padded [rank, out]
  std::int64_t out;
  const float* grad;  // [tokens, out]
  const float* low;   // [tokens, rank]
};

// partial[j, i] += sum over the T tokens of coefficient[t, j] * rows[t][i], for the padded partial[rank, width].
template <std::int64_t T>
THINKREC_INLINE void add_outer(const float* coefficient, const float* const (&rows)[lora::kTokens], std::int64_t rank,
                               std::int64_t width, float* partial) {
  const std::int64_t stride = lora::padded(width);
  simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
    Vec row[T];
#pragma GCC unroll 4
    for (std::int64_t t = 0; t < T; ++t) row[t] = simd::load_lanes<whole>(rows[t] + i, count);
    for (std::int64_t j = 0; j < rank; ++j) {
      Vec sum = simd::load(partial + j * stride + i);
#pragma GCC unroll 4
      for (std::int64_t t = 0; t < T; ++t) sum += coefficient[t * rank + j] * row[t];
      simd::store(partial + j * stride + i, sum);
    }
  });
}

// One group of T tokens. `scratch` has 3 * kTokens padded rows of x: factors of q and of v, dropped-out x.
template <std::int64_t T>
void backward_group(const LoraBatch& batch, const Projection (&projections)[2], std::int64_t token, float* scratch,
                    float* const (&partial_a)[2], float* const (&partial_b)[2], float* grad_x) {
  const std::int64_t rank = batch.rank, width = batch.width, stride = lora::padded(width);
  const bool dropping = batch.dropout.probability > 0;
  float* const factor[2] = {scratch, scratch + lora::kTokens * stride};
  float grad_low[2][lora::kTokens * kMaxLoraRank];
  for (std::uint32_t p = 0; p < 2; ++p) {
    const Projection& projection = projections[p];
    const float* grad[lora::kTokens];
    for (std::int64_t t = 0; t < lora::kTokens; ++t) grad[t] = projection.grad + (token + std::min(t, T - 1)) * projection.out;
    lora::dots<T>(grad, projection.b_transposed.data(), rank, projection.out, batch.scale, grad_low[p], rank);
    add_outer<T>(projection.low + token * rank, grad, rank, projection.out, partial_b[p]);
    const float* rows[lora::kTokens];
    lora::drop(batch, p, token, T, factor[p], scratch + 2 * lora::kTokens * stride, rows);
    add_outer<T>(grad_low[p], rows, rank, width, partial_a[p]);
  }
  if (grad_x == nullptr) return;
  simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
    Vec q_sums[T], v_sums[T];
    lora::combine<T>(grad_low[0], rank, projections[0].a.data(), stride, rank, i, q_sums);
    lora::combine<T>(grad_low[1], rank, projections[1].a.data(), stride, rank, i, v_sums);
    for (std::int64_t t = 0; t < T; ++t) {
      float* to = grad_x + (token + t) * width + i;
      if (dropping) {
        q_sums[t] *= simd::load(factor[0] + t * stride + i);
        v_sums[t] *= simd::load(factor[1] + t * stride + i);
      }
      simd::store_lanes<whole>(to, simd::load_lanes<whole>(to, count) + (q_sums[t] + v_sums[t]), count);
    }
  });
}

// grad[row * row_step + i * column_step] += scale * sum over slices of partial[row, i], slices in order.
void add_slices(const float* partial, std::int64_t slices, std::int64_t slice_size, std::int64_t rank, std::int64_t width,
                float scale, float* grad, std::int64_t row_step, std::int64_t column_step, int threads) {
  const std::int64_t stride = lora::padded(width);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t j = 0; j < rank; ++j) {
    simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto) {
      Vec total = {};
      for (std::int64_t s = 0; s < slices; ++s) total += simd::load(partial + s * slice_size + j * stride + i);
      for (std::int64_t k = 0; k < count; ++k) grad[j * row_step + (i + k) * column_step] += scale * total[k];
    });
  }
}

}  // namespace

void lora_qv_backward(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                      const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q,
                      float* grad_a_v, float* grad_b_v, float* grad_x, int threads) {
  lora::check(batch, q, v, threads);
  if (batch.tokens == 0) return;
  const std::int64_t rank = batch.rank, width = batch.width;
  const Projection projections[2] = {
      {lora::pad_rows(q.a, rank, width), lora::transpose_padded(q.b, q.out, rank), q.out, grad_q, q_low},
      {lora::pad_rows(v.a, rank, width), lora::transpose_padded(v.b, v.out, rank), v.out, grad_v, v_low}};

  const std::int64_t a_size = rank * lora::padded(width);
  const std::int64_t b_size[2] = {rank * lora::padded(q.out), rank * lora::padded(v.out)};
  const std::int64_t slice_size = 2 * a_size + b_size[0] + b_size[1];
  const std::int64_t wanted = std::min(kMaxSlices, (batch.tokens + kMinSliceTokens - 1) / kMinSliceTokens);
  const std::int64_t slices = std::max<std::int64_t>(1, std::min(wanted, kMaxPartialFloats / slice_size));
  const std::int64_t groups = (batch.tokens + lora::kTokens - 1) / lora::kTokens;
  std::vector<float> partial(static_cast<std::size_t>(slices * slice_size), 0.0f);
  const std::int64_t scratch_size = 3 * lora::kTokens * lora::padded(width);
  std::vector<float> scratch(static_cast<std::size_t>(threads * scratch_size));

#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    float* own = scratch.data() + omp_get_thread_num() * scratch_size;
    float* at = partial.data() + slice * slice_size;
    float* const partial_a[2] = {at, at + a_size};
    float* const partial_b[2] = {at + 2 * a_size, at + 2 * a_size + b_size[0]};
    for (std::int64_t group = slice * groups / slices; group < (slice + 1) * groups / slices; ++group) {
      const std::int64_t token = group * lora::kTokens;
      if (token + lora::kTokens <= batch.tokens) {
        backward_group<lora::kTokens>(batch, projections, token, own, partial_a, partial_b, grad_x);
      } else {
        for (std::int64_t t = token; t < batch.tokens; ++t) {
          backward_group<1>(batch, projections, t, own, partial_a, partial_b, grad_x);
        }
      }
    }
  }
  const float* at = partial.data();
  add_slices(at, slices, slice_size, rank, width, 1.0f, grad_a_q, width, 1, threads);
  add_slices(at + a_size, slices, slice_size, rank, width, 1.0f, grad_a_v, width, 1, threads);
  add_slices(at + 2 * a_size, slices, slice_size, rank, q.out, batch.scale, grad_b_q, 1, rank, threads);
  add_slices(at + 2 * a_size + b_size[0], slices, slice_size, rank, v.out, batch.scale, grad_b_v, 1, rank, threads);
}

}  // namespace thinkrec::kernels
