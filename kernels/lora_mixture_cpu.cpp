#include <algorithm>

#include "core/error.h"
#include "kernels/lora_mixture.h"

namespace thinkrec::kernels {
namespace {

// A mixture is a number of plain LoRA batches: the runs of tokens that give one expert the same weight. The tokens of a row stand
// together, so there are few.
template <class Run>
void for_runs(const LoraMixture& mixture, Run&& run) {
  const LoraBatch& batch = mixture.batch;
  THINKREC_CHECK(mixture.experts >= 1 && batch.tokens >= 0, "experts {}, tokens {}", mixture.experts, batch.tokens);
  for (std::int64_t expert = 0; expert < mixture.experts; ++expert) {
    const auto weight = [&](std::int64_t token) { return mixture.weight[token * mixture.experts + expert]; };
    for (std::int64_t first = 0, end = 0; first < batch.tokens; first = end) {
      for (end = first + 1; end < batch.tokens && weight(end) == weight(first);) ++end;
      run(expert, first, end, weight(first));
    }
  }
}

LoraBatch part_of(const LoraBatch& batch, std::int64_t first, std::int64_t end, float weight) {
  LoraBatch part = batch;
  part.x += first * batch.width;
  part.tokens = end - first;
  part.scale *= weight;
  if (batch.sample != nullptr) part.sample += first;
  if (batch.position != nullptr) part.position += first;
  return part;
}

LoraWeights expert_of(const LoraMixture& mixture, const LoraWeights& weights, std::int64_t expert) {
  const std::int64_t rank = mixture.batch.rank;
  return {weights.a + expert * rank * mixture.batch.width, weights.b + expert * weights.out * rank, weights.out};
}

template <class Qv>
void forward(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out, float* q_low,
             float* v_low, Qv&& lora_qv) {
  const std::int64_t tokens = mixture.batch.tokens, rank = mixture.batch.rank;
  for_runs(mixture, [&](std::int64_t expert, std::int64_t first, std::int64_t end, float weight) {
    const std::int64_t at = (expert * tokens + first) * rank, size = (end - first) * rank;
    float* const ql = q_low == nullptr ? nullptr : q_low + at;
    float* const vl = v_low == nullptr ? nullptr : v_low + at;
    if (weight != 0) {
      return lora_qv(part_of(mixture.batch, first, end, weight), expert_of(mixture, q, expert), expert_of(mixture, v, expert),
                     q_out + first * q.out, v_out + first * v.out, ql, vl);
    }
    if (ql != nullptr) std::fill_n(ql, size, 0.0f);
    if (vl != nullptr) std::fill_n(vl, size, 0.0f);
  });
}

template <class Qv>
void backward(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, const float* grad_q, const float* grad_v,
              const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q, float* grad_a_v, float* grad_b_v,
              float* grad_x, Qv&& lora_qv) {
  const std::int64_t tokens = mixture.batch.tokens, rank = mixture.batch.rank, width = mixture.batch.width;
  for_runs(mixture, [&](std::int64_t expert, std::int64_t first, std::int64_t end, float weight) {
    if (weight == 0) return;
    const std::int64_t low = (expert * tokens + first) * rank, a = expert * rank * width;
    lora_qv(part_of(mixture.batch, first, end, weight), expert_of(mixture, q, expert), expert_of(mixture, v, expert),
            grad_q + first * q.out, grad_v + first * v.out, q_low + low, v_low + low, grad_a_q + a,
            grad_b_q + expert * q.out * rank, grad_a_v + a, grad_b_v + expert * v.out * rank,
            grad_x == nullptr ? nullptr : grad_x + first * width);
  });
}

}  // namespace

void lora_mixture_forward(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out,
                          float* q_low, float* v_low, int threads) {
  forward(mixture, q, v, q_out, v_out, q_low, v_low, [&](auto&&... arguments) { lora_qv_forward(arguments..., threads); });
}

void lora_mixture_backward(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                           const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q,
                           float* grad_a_v, float* grad_b_v, float* grad_x, int threads) {
  backward(mixture, q, v, grad_q, grad_v, q_low, v_low, grad_a_q, grad_b_q, grad_a_v, grad_b_v, grad_x,
           [&](auto&&... arguments) { lora_qv_backward(arguments..., threads); });
}

}  // namespace thinkrec::kernels
