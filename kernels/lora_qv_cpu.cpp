#include <omp.h>

#include "core/error.h"
#include "kernels/lora_qv_simd.h"

namespace thinkrec::kernels {
namespace lora {

std::vector<float> pad_rows(const float* a, std::int64_t rows, std::int64_t width) {
  const std::int64_t stride = padded(width);
  std::vector<float> out(static_cast<std::size_t>(rows * stride), 0.0f);
  for (std::int64_t row = 0; row < rows; ++row) std::copy_n(a + row * width, width, out.data() + row * stride);
  return out;
}

std::vector<float> transpose_padded(const float* b, std::int64_t out, std::int64_t rank) {
  const std::int64_t stride = padded(out);
  std::vector<float> to(static_cast<std::size_t>(rank * stride), 0.0f);
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t j = 0; j < rank; ++j) to[static_cast<std::size_t>(j * stride + o)] = b[o * rank + j];
  }
  return to;
}

void check(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, int threads) {
  THINKREC_CHECK(batch.tokens >= 0 && batch.width >= 1 && threads >= 1, "tokens {}, width {}, threads {}", batch.tokens,
                 batch.width, threads);
  THINKREC_CHECK(batch.rank >= 1 && batch.rank <= kMaxLoraRank, "LoRA rank {}, at most {}", batch.rank, kMaxLoraRank);
  THINKREC_CHECK(q.out >= 1 && v.out >= 1, "out {} and {}", q.out, v.out);
  const float p = batch.dropout.probability;
  THINKREC_CHECK(p >= 0 && p < 1, "dropout probability {}", p);
  THINKREC_CHECK(p == 0 || batch.tokens == 0 || (batch.sample != nullptr && batch.position != nullptr),
                 "dropout needs samples and positions");
}

}  // namespace lora

namespace {

using simd::Vec;

struct Projection {
  std::vector<float> a;             // padded [rank, width]
  std::vector<float> b_transposed;  // padded [rank, out]
  std::int64_t out;
  float* result;  // [tokens, out]
  float* low;     // [tokens, rank] or null
};

// One group of T tokens from `token`; `scratch` has 2 * kTokens padded rows of x.
template <std::int64_t T>
void forward_group(const LoraBatch& batch, const Projection (&projections)[2], std::int64_t token, float* scratch) {
  const std::int64_t rank = batch.rank;
  for (std::uint32_t p = 0; p < 2; ++p) {
    const Projection& projection = projections[p];
    const float* rows[lora::kTokens];
    lora::drop(batch, p, token, T, scratch, scratch + lora::kTokens * lora::padded(batch.width), rows);
    float low[lora::kTokens * kMaxLoraRank];
    lora::dots<T>(rows, projection.a.data(), rank, batch.width, 1.0f, low, rank);
    if (projection.low != nullptr) std::copy_n(low, T * rank, projection.low + token * rank);
    const std::int64_t out = projection.out, stride = lora::padded(out);
    simd::for_lanes(0, out, [&](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
      Vec sums[T];
      lora::combine<T>(low, rank, projection.b_transposed.data(), stride, rank, i, sums);
      for (std::int64_t t = 0; t < T; ++t) {
        float* to = projection.result + (token + t) * out + i;
        simd::store_lanes<whole>(to, simd::load_lanes<whole>(to, count) + batch.scale * sums[t], count);
      }
    });
  }
}

}  // namespace

void lora_qv_forward(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out, float* q_low,
                     float* v_low, int threads) {
  lora::check(batch, q, v, threads);
  const Projection projections[2] = {
      {lora::pad_rows(q.a, batch.rank, batch.width), lora::transpose_padded(q.b, q.out, batch.rank), q.out, q_out, q_low},
      {lora::pad_rows(v.a, batch.rank, batch.width), lora::transpose_padded(v.b, v.out, batch.rank), v.out, v_out, v_low}};
  const std::int64_t scratch_size = 2 * lora::kTokens * lora::padded(batch.width);
  std::vector<float> scratch(static_cast<std::size_t>(threads * scratch_size));
  const std::int64_t groups = (batch.tokens + lora::kTokens - 1) / lora::kTokens;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t group = 0; group < groups; ++group) {
    float* own = scratch.data() + omp_get_thread_num() * scratch_size;
    const std::int64_t token = group * lora::kTokens;
    if (token + lora::kTokens <= batch.tokens) {
      forward_group<lora::kTokens>(batch, projections, token, own);
    } else {
      for (std::int64_t t = token; t < batch.tokens; ++t) forward_group<1>(batch, projections, t, own);
    }
  }
}

}  // namespace thinkrec::kernels
