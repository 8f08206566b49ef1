#pragma once
// The kernels on a GPU. Formulas, shapes and contracts are those of the headers of the same names one folder up; here are the types
// and what differs: all pointers are device memory, work is queued on `stream` (a cudaStream_t; null is the default stream) and
// nothing waits. T is the type of activations, float or Bfloat16; adapters, gradients of adapters, losses and statistics are fp32.
// Every sum has a fixed order, so the same input gives the same bits.

#include <cstdint>

#include "kernels/adamw.h"
#include "kernels/bfloat16.h"
#include "kernels/views.h"

namespace thinkrec::kernels::cuda {

/// lora_qv.h and lora_mixture.h: one expert of weight 1 where `weight` is null.
template <class T>
struct LoraInput {
  const T* x;                        ///< [tokens, width]
  std::int64_t tokens, width, rank;  ///< 1 <= rank <= 64
  float scale;
  const std::uint64_t* sample;    ///< [tokens]; null without dropout
  const std::uint32_t* position;  ///< [tokens]; null without dropout
  DropoutKey dropout;
  std::int64_t experts = 1;
  const float* weight = nullptr;  ///< [tokens, experts]
};

struct LoraProjection {
  const float* a;  ///< [experts, rank, width]
  const float* b;  ///< [experts, out, rank]
  std::int64_t out;
};

/// q_out, v_out accumulated into; q_low, v_low [experts, tokens, rank] are both given or both null.
template <class T>
void lora_forward(const LoraInput<T>& input, const LoraProjection& q, const LoraProjection& v, T* q_out, T* v_out, float* q_low,
                  float* v_low, void* stream);

/// Floats of workspace that lora_backward needs.
std::int64_t lora_backward_workspace(std::int64_t tokens, std::int64_t width, std::int64_t rank, std::int64_t experts,
                                     std::int64_t q_out, std::int64_t v_out);

/// All grad_a, grad_b and grad_x (null or [tokens, width]) accumulated into.
template <class T>
void lora_backward(const LoraInput<T>& input, const LoraProjection& q, const LoraProjection& v, const T* grad_q, const T* grad_v,
                   const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q, float* grad_a_v, float* grad_b_v,
                   T* grad_x, float* workspace, void* stream);

/// yes_bce.h
template <class T>
void yes_bce(const T* hidden, const T* yes_weight, const float* label, const float* weight, std::int64_t rows, std::int64_t width,
             float* logit, float* loss, T* grad_hidden, void* stream);

/// cross_entropy.h; a target out of range on a row with weight gives a NaN loss.
template <class T>
void softmax_cross_entropy(T* logits, const std::int64_t* target, const float* weight, std::int64_t rows, std::int64_t vocab,
                           float* loss, bool gradient, void* stream);

/// rms_norm.h
template <class T>
void rms_norm_forward(const T* x, const T* residual, const T* weight, float eps, std::int64_t rows, std::int64_t width, T* sum,
                      T* out, float* inverse_rms, void* stream);
template <class T>
void rms_norm_backward(const T* grad_out, const T* sum, const T* weight, const float* inverse_rms, std::int64_t rows,
                       std::int64_t width, const T* grad_sum, T* grad_x, void* stream);

/// rope.h; forward or the inverse rotation.
template <class T>
void rope(T* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position, const float* cos,
          const float* sin, bool backward, void* stream);

/// swiglu.h
template <class T>
void swiglu_forward(const T* gate, const T* up, std::int64_t n, T* out, void* stream);
template <class T>
void swiglu_backward(const T* grad_out, const T* gate, const T* up, std::int64_t n, T* grad_gate, T* grad_up, void* stream);

/// embed_splice.h; grad_features fp32.
template <class T>
void embed_splice_forward(const T* embedding, const float* features, const std::int32_t* token, std::int64_t tokens,
                          std::int64_t width, T* out, void* stream);
template <class T>
void embed_splice_backward(const T* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                           std::int64_t slots, float* grad_features, void* stream);

/// adamw.h; `tensors` [count] in device memory, `largest` the size of the largest of them. norm [2] (device): the 2-norm of all
/// gradients, and 1 when all are finite, else 0.
void adamw(const AdamwTensor* tensors, int count, std::int64_t largest, const AdamwStep& step, void* stream);
void gradient_norm(const AdamwTensor* tensors, int count, std::int64_t largest, double* workspace, double* norm, void* stream);
/// Doubles of workspace that gradient_norm needs.
std::int64_t gradient_norm_workspace(int count, std::int64_t largest);

}  // namespace thinkrec::kernels::cuda
