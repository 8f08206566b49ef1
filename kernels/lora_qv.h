#pragma once
// LoRA on q and v in one read of x (Hu et al. 2021, "LoRA: low-rank adaptation of large language models", section 4):
//   low_p = dropout_p(x) A_p^T,  out_p += scale * low_p B_p^T     for p = q (projection 0) and v (projection 1)
// dropout_p(x) = keep_p ? x / (1 - probability) : 0, with masks of their own for q and v (dropout.h), made where they are used
// and never stored. fp32. Results do not depend on `threads`, and a token's forward result not on the tokens beside it.

#include "kernels/views.h"

namespace thinkrec::kernels {

inline constexpr std::int64_t kMaxLoraRank = 64;

/// One projection's adapter.
struct LoraWeights {
  const float* a;    ///< [rank, width]
  const float* b;    ///< [out, rank]
  std::int64_t out;  ///< >= 1
};

struct LoraBatch {
  const float* x;                    ///< [tokens, width]
  std::int64_t tokens, width, rank;  ///< tokens >= 0, width >= 1, 1 <= rank <= kMaxLoraRank
  float scale;                       ///< alpha / rank
  const std::uint64_t* sample;       ///< [tokens] id of the row each token belongs to; may be null when dropout is off
  const std::uint32_t* position;     ///< [tokens] position within its row; may be null when dropout is off
  DropoutKey dropout;
};

/// q_out[tokens, q.out] and v_out[tokens, v.out] are accumulated into. q_low, v_low [tokens, rank] receive dropout(x) A^T for the
/// backward pass; either may be null. Errors: sizes or probability out of range.
void lora_qv_forward(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out, float* q_low,
                     float* v_low, int threads);
void lora_qv_forward_reference(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, float* q_out, float* v_out,
                               float* q_low, float* v_low);

/// Gradients from grad_q[tokens, q.out] and grad_v[tokens, v.out], all accumulated into:
///   grad_b[out, rank]     += scale * grad_out^T low
///   grad_a[rank, width]   += scale * (grad_out B)^T dropout(x)
///   grad_x[tokens, width] += scale * keep / (1 - probability) * (grad_out B A), summed over q and v; may be null
/// q_low and v_low are what the forward pass of the same batch saved. Errors as in the forward pass.
void lora_qv_backward(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                      const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q,
                      float* grad_a_v, float* grad_b_v, float* grad_x, int threads);
void lora_qv_backward_reference(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, const float* grad_q,
                                const float* grad_v, const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q,
                                float* grad_a_v, float* grad_b_v, float* grad_x);

}  // namespace thinkrec::kernels
