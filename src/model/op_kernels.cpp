#include "model/op_kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/embed_splice.h"
#include "kernels/lora_mixture.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/yes_bce.h"

namespace thinkrec {
namespace {

int threads() { return at::get_num_threads(); }

const float* data(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }
float* mutable_data(const at::Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr; }
const std::uint32_t* positions(const at::Tensor& tensor) {
  return reinterpret_cast<const std::uint32_t*>(tensor.const_data_ptr<std::int32_t>());
}

class CpuKernels final : public OpKernels {
 public:
  void rms_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, float epsilon,
                        const at::Tensor& sum, const at::Tensor& out, const at::Tensor& inverse_rms) const override {
    RECORD_USER_SCOPE("thinkrec::rms_norm_forward");
    kernels::rms_norm_forward(data(x), data(residual), data(weight), epsilon, x.size(0), x.size(1), mutable_data(sum),
                              mutable_data(out), mutable_data(inverse_rms), threads());
  }
  void rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& sum, const at::Tensor& weight,
                         const at::Tensor& inverse_rms, const at::Tensor& grad_sum, const at::Tensor& grad_x) const override {
    RECORD_USER_SCOPE("thinkrec::rms_norm_backward");
    kernels::rms_norm_backward(data(grad_out), data(sum), data(weight), data(inverse_rms), sum.size(0), sum.size(1),
                               data(grad_sum), mutable_data(grad_x), threads());
  }

  void swiglu_forward(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& out) const override {
    RECORD_USER_SCOPE("thinkrec::swiglu_forward");
    kernels::swiglu_forward(data(gate), data(up), gate.numel(), mutable_data(out), threads());
  }
  void swiglu_backward(const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up, const at::Tensor& grad_gate,
                       const at::Tensor& grad_up) const override {
    RECORD_USER_SCOPE("thinkrec::swiglu_backward");
    kernels::swiglu_backward(data(grad_out), data(gate), data(up), gate.numel(), mutable_data(grad_gate), mutable_data(grad_up),
                             threads());
  }

  void rope(const at::Tensor& x, const at::Tensor& position, const RopeTensors& table, bool backward) const override {
    RECORD_USER_SCOPE("thinkrec::rope");
    const auto turn = backward ? kernels::rope_backward : kernels::rope_forward;
    turn(mutable_data(x), x.size(0), x.size(1), x.size(2), positions(position), data(table.cos), data(table.sin), threads());
  }

  void lora_forward(const LoraCall& call, const at::Tensor& q, const at::Tensor& v, const at::Tensor& q_low,
                    const at::Tensor& v_low) const override {
    RECORD_USER_SCOPE("thinkrec::lora_forward");
    const kernels::LoraBatch input = batch(call);
    if (call.expert_weight.defined()) {
      kernels::lora_mixture_forward({input, call.experts(), data(call.expert_weight)}, q_weights(call), v_weights(call),
                                    mutable_data(q), mutable_data(v), mutable_data(q_low), mutable_data(v_low), threads());
    } else {
      kernels::lora_qv_forward(input, q_weights(call), v_weights(call), mutable_data(q), mutable_data(v), mutable_data(q_low),
                               mutable_data(v_low), threads());
    }
  }
  void lora_backward(const LoraCall& call, const at::Tensor& grad_q, const at::Tensor& grad_v, const at::Tensor& q_low,
                     const at::Tensor& v_low, const at::Tensor& grad_a_q, const at::Tensor& grad_b_q, const at::Tensor& grad_a_v,
                     const at::Tensor& grad_b_v, const at::Tensor& grad_x) const override {
    RECORD_USER_SCOPE("thinkrec::lora_backward");
    const kernels::LoraBatch input = batch(call);
    if (call.expert_weight.defined()) {
      kernels::lora_mixture_backward({input, call.experts(), data(call.expert_weight)}, q_weights(call), v_weights(call),
                                     data(grad_q), data(grad_v), data(q_low), data(v_low), mutable_data(grad_a_q),
                                     mutable_data(grad_b_q), mutable_data(grad_a_v), mutable_data(grad_b_v), mutable_data(grad_x),
                                     threads());
    } else {
      kernels::lora_qv_backward(input, q_weights(call), v_weights(call), data(grad_q), data(grad_v), data(q_low), data(v_low),
                                mutable_data(grad_a_q), mutable_data(grad_b_q), mutable_data(grad_a_v), mutable_data(grad_b_v),
                                mutable_data(grad_x), threads());
    }
  }

  void embed_splice_forward(const at::Tensor& embedding, const at::Tensor& features, const at::Tensor& token,
                            const at::Tensor& out) const override {
    RECORD_USER_SCOPE("thinkrec::embed_splice_forward");
    kernels::embed_splice_forward(data(embedding), data(features), token.const_data_ptr<std::int32_t>(), token.numel(),
                                  embedding.size(1), mutable_data(out), threads());
  }
  void embed_splice_backward(const at::Tensor& grad_out, const at::Tensor& token,
                             const at::Tensor& grad_features) const override {
    RECORD_USER_SCOPE("thinkrec::embed_splice_backward");
    kernels::embed_splice_backward(data(grad_out), token.const_data_ptr<std::int32_t>(), token.numel(), grad_out.size(1),
                                   grad_features.size(0), mutable_data(grad_features), threads());
  }

  void yes_bce(const at::Tensor& hidden, const at::Tensor& yes_weight, const at::Tensor& label, const at::Tensor& weight,
               const at::Tensor& logit, const at::Tensor& loss, const at::Tensor& grad_hidden) const override {
    RECORD_USER_SCOPE("thinkrec::yes_bce");
    kernels::yes_bce(data(hidden), data(yes_weight), data(label), data(weight), hidden.size(0), hidden.size(1),
                     mutable_data(logit), mutable_data(loss), mutable_data(grad_hidden), threads());
  }
  void softmax_cross_entropy(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& weight, const at::Tensor& loss,
                             bool gradient) const override {
    RECORD_USER_SCOPE("thinkrec::softmax_cross_entropy");
    kernels::softmax_cross_entropy(mutable_data(logits), target.const_data_ptr<std::int64_t>(), data(weight), logits.size(0),
                                   logits.size(1), mutable_data(loss), gradient, threads());
  }

  kernels::GradientNorm gradient_norm(std::span<const kernels::AdamwTensor> tensors, at::Device) const override {
    RECORD_USER_SCOPE("thinkrec::gradient_norm");
    return kernels::gradient_norm(tensors, threads());
  }
  void adamw(std::span<const kernels::AdamwTensor> tensors, const kernels::AdamwStep& step, at::Device) const override {
    RECORD_USER_SCOPE("thinkrec::adamw");
    kernels::adamw(tensors, step, threads());
  }

 private:
  static kernels::LoraBatch batch(const LoraCall& call) {
    return {data(call.x),
            call.x.size(0),
            call.x.size(1),
            call.rank(),
            call.scale,
            reinterpret_cast<const std::uint64_t*>(call.sample.const_data_ptr<std::int64_t>()),
            positions(call.position),
            call.dropout};
  }
  static kernels::LoraWeights q_weights(const LoraCall& call) { return {data(call.a_q), data(call.b_q), call.b_q.size(-2)}; }
  static kernels::LoraWeights v_weights(const LoraCall& call) { return {data(call.a_v), data(call.b_v), call.b_v.size(-2)}; }
};

const OpKernels* cpu_override = nullptr;
const OpKernels* gpu_kernels = nullptr;

}  // namespace

RopeTensors to_device(const kernels::RopeTable& table, at::Device device) {
  const auto tensor = [&](const std::vector<float>& values) {
    return at::tensor(values).view({table.length, table.head_width / 2}).to(device);
  };
  return {tensor(table.cos), tensor(table.sin)};
}

const OpKernels& kernels_for(at::Device device) {
  static const CpuKernels cpu;
  if (device.is_cpu()) return cpu_override != nullptr ? *cpu_override : cpu;
  THINKREC_CHECK(device.is_cuda() && gpu_kernels != nullptr, "no kernels for {}", device.str());
  return *gpu_kernels;
}

void set_op_kernels(c10::DeviceType device, const OpKernels* kernels) {
  (device == c10::DeviceType::CPU ? cpu_override : gpu_kernels) = kernels;
}

}  // namespace thinkrec
