#include <vector>

#include "core/error.h"
#include "kernels/dropout.h"
#include "kernels/lora_qv.h"

namespace thinkrec::kernels {
namespace {

void check(const LoraBatch& batch, const LoraWeights& weights) {
  THINKREC_CHECK(batch.tokens >= 0 && batch.width >= 1 && weights.out >= 1, "tokens {}, width {}, out {}", batch.tokens,
                 batch.width, weights.out);
  THINKREC_CHECK(batch.rank >= 1 && batch.rank <= kMaxLoraRank, "LoRA rank {}, at most {}", batch.rank, kMaxLoraRank);
}

// keep / (1 - probability) for one token.
std::vector<double> factors(const LoraBatch& batch, std::uint32_t projection, std::int64_t token) {
  std::vector<double> factor(static_cast<std::size_t>(batch.width), 1.0);
  if (batch.dropout.probability == 0) return factor;
  std::vector<std::uint8_t> keep(factor.size());
  dropout_keep_mask_reference(batch.dropout, projection, batch.sample[token], batch.position[token], batch.width, keep.data());
  const double kept = 1 / (1 - static_cast<double>(batch.dropout.probability));
  for (std::size_t i = 0; i < factor.size(); ++i) factor[i] = keep[i] != 0 ? kept : 0.0;
  return factor;
}

void forward(const LoraBatch& batch, const LoraWeights& weights, std::uint32_t projection, float* out, float* saved) {
  check(batch, weights);
  const std::int64_t rank = batch.rank, width = batch.width;
  for (std::int64_t t = 0; t < batch.tokens; ++t) {
    const std::vector<double> factor = factors(batch, projection, t);
    std::vector<double> low(static_cast<std::size_t>(rank), 0.0);
    for (std::int64_t j = 0; j < rank; ++j) {
      double& sum = low[static_cast<std::size_t>(j)];
      for (std::int64_t i = 0; i < width; ++i) {
        sum += factor[static_cast<std::size_t>(i)] * batch.x[t * width + i] * weights.a[j * width + i];
      }
      if (saved != nullptr) saved[t * rank + j] = static_cast<float>(sum);
    }
    for (std::int64_t o = 0; o < weights.out; ++o) {
      double sum = 0;
      for (std::int64_t j = 0; j < rank; ++j) sum += low[static_cast<std::size_t>(j)] * weights.b[o * rank + j];
      float& to = out[t * weights.out + o];
      to = static_cast<float>(to + batch.scale * sum);
    }
  }
}

void backward(const LoraBatch& batch, const LoraWeights& weights, std::uint32_t projection, const float* grad_out,
              const float* low, float* grad_a, float* grad_b, double* grad_x) {
  check(batch, weights);
  const std::int64_t rank = batch.rank, width = batch.width, out = weights.out;
  std::vector<double> sums_a(static_cast<std::size_t>(rank * width), 0.0), sums_b(static_cast<std::size_t>(out * rank), 0.0);
  for (std::int64_t t = 0; t < batch.tokens; ++t) {
    const std::vector<double> factor = factors(batch, projection, t);
    const float* grad = grad_out + t * out;
    for (std::int64_t j = 0; j < rank; ++j) {
      double grad_low = 0;
      for (std::int64_t o = 0; o < out; ++o) {
        grad_low += batch.scale * static_cast<double>(grad[o]) * weights.b[o * rank + j];
        sums_b[static_cast<std::size_t>(o * rank + j)] += batch.scale * static_cast<double>(grad[o]) * low[t * rank + j];
      }
      for (std::int64_t i = 0; i < width; ++i) {
        const double f = factor[static_cast<std::size_t>(i)];
        sums_a[static_cast<std::size_t>(j * width + i)] += grad_low * f * batch.x[t * width + i];
        if (grad_x != nullptr) grad_x[t * width + i] += grad_low * f * weights.a[j * width + i];
      }
    }
  }
  for (std::size_t i = 0; i < sums_a.size(); ++i) grad_a[i] = static_cast<float>(grad_a[i] + sums_a[i]);
  for (std::size_t i = 0; i < sums_b.size(); ++i) grad_b[i] = static_cast<float>(grad_b[i] + sums_b[i]);
}

}  // namespace

void lora_qv_forward_reference(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out,
                               float* q_low, float* v_low) {
  forward(batch, q, 0, q_out, q_low);
  forward(batch, v, 1, v_out, v_low);
}

void lora_qv_backward_reference(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                                const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q,
                                float* grad_a_v, float* grad_b_v, float* grad_x) {
  std::vector<double> sums_x(grad_x == nullptr ? 0 : static_cast<std::size_t>(batch.tokens * batch.width), 0.0);
  double* to = grad_x == nullptr ? nullptr : sums_x.data();
  backward(batch, q, 0, grad_q, q_low, grad_a_q, grad_b_q, to);
  backward(batch, v, 1, grad_v, v_low, grad_a_v, grad_b_v, to);
  for (std::size_t i = 0; i < sums_x.size(); ++i) grad_x[i] = static_cast<float>(grad_x[i] + sums_x[i]);
}

}  // namespace thinkrec::kernels
