#pragma once
// The kernels of kernels/ over tensors, chosen by where the tensors lie. Formulas, shapes and contracts are those of the headers in
// kernels/; outputs are allocated by the caller, contiguous, and on the device of the inputs. Activations are fp32 on the CPU, fp32 or
// bf16 on a GPU; adapters, their gradients, losses and statistics are fp32 everywhere. An undefined tensor stands for "not given".

#include <ATen/core/Tensor.h>

#include <span>

#include "kernels/adamw.h"
#include "kernels/rope.h"

namespace thinkrec {

/// kernels/rope.h's tables as tensors on the device of the model, each [length, head_width / 2] fp32.
struct RopeTensors {
  at::Tensor cos, sin;
  std::int64_t length() const { return cos.size(0); }
};
RopeTensors to_device(const kernels::RopeTable& table, at::Device device);

/// What LoRA on q and v reads (kernels/lora_qv.h, kernels/lora_mixture.h).
struct LoraCall {
  at::Tensor x;  ///< [tokens, width]
  at::Tensor a_q, b_q, a_v,
      b_v;  ///< [rank, width] and [out, rank], or with expert_weight [experts, rank, width] and [experts, out, rank]
  at::Tensor expert_weight;  ///< [tokens, experts]; undefined: one adapter for all
  float scale = 1;
  at::Tensor sample;    ///< [tokens] int64
  at::Tensor position;  ///< [tokens] int32
  kernels::DropoutKey dropout;
  std::int64_t rank() const { return a_q.size(-2); }
  std::int64_t experts() const { return expert_weight.defined() ? expert_weight.size(1) : 1; }
};

class OpKernels {
 public:
  virtual ~OpKernels() = default;

  virtual void rms_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, float epsilon,
                                const at::Tensor& sum, const at::Tensor& out, const at::Tensor& inverse_rms) const = 0;
  virtual void rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& sum, const at::Tensor& weight,
                                 const at::Tensor& inverse_rms, const at::Tensor& grad_sum, const at::Tensor& grad_x) const = 0;

  virtual void swiglu_forward(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& out) const = 0;
  virtual void swiglu_backward(const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up,
                               const at::Tensor& grad_gate, const at::Tensor& grad_up) const = 0;

  /// x [tokens, heads, head_width] in place; `backward` turns the other way.
  virtual void rope(const at::Tensor& x, const at::Tensor& position, const RopeTensors& table, bool backward) const = 0;

  /// q_low, v_low [experts, tokens, rank].
  virtual void lora_forward(const LoraCall& call, const at::Tensor& q, const at::Tensor& v, const at::Tensor& q_low,
                            const at::Tensor& v_low) const = 0;
  /// All gradients are accumulated into; grad_x may be undefined.
  virtual void lora_backward(const LoraCall& call, const at::Tensor& grad_q, const at::Tensor& grad_v, const at::Tensor& q_low,
                             const at::Tensor& v_low, const at::Tensor& grad_a_q, const at::Tensor& grad_b_q,
                             const at::Tensor& grad_a_v, const at::Tensor& grad_b_v, const at::Tensor& grad_x) const = 0;

  /// features fp32 [slots, width]; tokens were checked.
  virtual void embed_splice_forward(const at::Tensor& embedding, const at::Tensor& features, const at::Tensor& token,
                                    const at::Tensor& out) const = 0;
  virtual void embed_splice_backward(const at::Tensor& grad_out, const at::Tensor& token,
                                     const at::Tensor& grad_features) const = 0;

  virtual void yes_bce(const at::Tensor& hidden, const at::Tensor& yes_weight, const at::Tensor& label, const at::Tensor& weight,
                       const at::Tensor& logit, const at::Tensor& loss, const at::Tensor& grad_hidden) const = 0;
  virtual void softmax_cross_entropy(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& weight,
                                     const at::Tensor& loss, bool gradient) const = 0;

  /// The arrays that `tensors` point to lie on `device`.
  virtual kernels::GradientNorm gradient_norm(std::span<const kernels::AdamwTensor> tensors, at::Device device) const = 0;
  virtual void adamw(std::span<const kernels::AdamwTensor> tensors, const kernels::AdamwStep& step, at::Device device) const = 0;
};

/// The kernels for tensors of this device. kInternal for a GPU before open_gpu (gpu/gpu.h).
const OpKernels& kernels_for(at::Device device);
inline const OpKernels& kernels_for(const at::Tensor& tensor) { return kernels_for(tensor.device()); }

/// Makes `kernels`, which live for ever, those of a kind of device; null takes them away (the CPU falls back to its own).
void set_op_kernels(c10::DeviceType device, const OpKernels* kernels);

}  // namespace thinkrec
