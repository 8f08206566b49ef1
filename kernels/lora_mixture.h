#pragma once
// Several LoRA experts over one base batch, each token with its own weights w[token, expert]: one-hot rows train several experts in
// one pass over the frozen base (as mLoRA and S-LoRA serve them), dense rows are the exact fused expert of section 3.4 of the paper:
//   low_pe = dropout_p(x) A_pe^T,  out_p += sum over e of scale * w_e * low_pe B_pe^T      for p = q and v
// The masks are lora_qv's and do not depend on the expert. Experts of weight 0 cost nothing. With one expert of weight 1 it is
// lora_qv, bit for bit. fp32. Results do not depend on `threads`.

#include "kernels/lora_qv.h"

namespace thinkrec::kernels {

/// `a` is [experts, rank, width], `b` [experts, out, rank]; weight[tokens, experts].
struct LoraMixture {
  LoraBatch batch;
  std::int64_t experts;
  const float* weight;
};

/// As lora_qv_forward; q_low, v_low are [experts, tokens, rank], 0 where the weight is 0; either may be null.
void lora_mixture_forward(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out,
                          float* q_low, float* v_low, int threads);
void lora_mixture_forward_reference(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, float* q_out,
                                    float* v_out, float* q_low, float* v_low);

/// As lora_qv_backward: grad_a_p [experts, rank, width] and grad_b_p [experts, out, rank] are accumulated into, and grad_x
/// [tokens, width] unless null. No gradient to the weights.
void lora_mixture_backward(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                           const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q,
                           float* grad_a_v, float* grad_b_v, float* grad_x, int threads);
void lora_mixture_backward_reference(const LoraMixture& mixture, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                                     const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q,
                                     float* grad_b_q, float* grad_a_v, float* grad_b_v, float* grad_x);

}  // namespace thinkrec::kernels
