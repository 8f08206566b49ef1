// kernels/cuda over tensors. Compiled a second time for the SIMT emulator, over whose kernels the training step then runs on CPU tensors.

#include <ATen/ATen.h>

#include "core/error.h"
#include "gpu/gpu.h"
#include "kernels/cuda/kernels.h"

namespace thinkrec {
namespace {

using kernels::Bfloat16;
namespace cuda = kernels::cuda;

constexpr void* kDefaultStream = nullptr;

template <class T>
const T* data(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<const T*>(tensor.const_data_ptr()) : nullptr;
}
template <class T>
T* mutable_data(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.mutable_data_ptr()) : nullptr;
}

/// Calls body(T()) for the type of the activations.
template <class Body>
void for_type(const at::Tensor& activations, Body&& body) {
  if (activations.scalar_type() == at::kFloat) return body(float());
  THINKREC_CHECK(activations.scalar_type() == at::kBFloat16, "activations of type {}", at::toString(activations.scalar_type()));
  body(Bfloat16());
}

template <class T>
cuda::LoraInput<T> lora_input(const LoraCall& call) {
  return {data<T>(call.x),
          call.x.size(0),
          call.x.size(1),
          call.rank(),
          call.scale,
          data<std::uint64_t>(call.sample),
          data<std::uint32_t>(call.position),
          call.dropout,
          call.experts(),
          data<float>(call.expert_weight)};
}
cuda::LoraProjection q_projection(const LoraCall& call) {
  return {data<float>(call.a_q), data<float>(call.b_q), call.b_q.size(-2)};
}
cuda::LoraProjection v_projection(const LoraCall& call) {
  return {data<float>(call.a_v), data<float>(call.b_v), call.b_v.size(-2)};
}

/// The list of tensors in the device's own memory.
struct TensorList {
  TensorList(std::span<const kernels::AdamwTensor> tensors, at::Device device) : count(static_cast<int>(tensors.size())) {
    const at::Tensor host = at::empty({static_cast<std::int64_t>(tensors.size_bytes())}, at::kByte);
    std::memcpy(host.mutable_data_ptr(), tensors.data(), tensors.size_bytes());
    list = host.to(device);
    for (const kernels::AdamwTensor& tensor : tensors) largest = std::max(largest, tensor.size);
  }
  const kernels::AdamwTensor* begin() const { return static_cast<const kernels::AdamwTensor*>(list.const_data_ptr()); }
  at::Tensor list;
  int count;
  std::int64_t largest = 0;
};

class CudaKernels final : public OpKernels {
 public:
  void rms_norm_forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, float epsilon,
                        const at::Tensor& sum, const at::Tensor& out, const at::Tensor& inverse_rms) const override {
    for_type(x, [&]<class T>(T) {
      cuda::rms_norm_forward(data<T>(x), data<T>(residual), data<T>(weight), epsilon, x.size(0), x.size(1), mutable_data<T>(sum),
                             mutable_data<T>(out), mutable_data<float>(inverse_rms), kDefaultStream);
    });
  }
  void rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& sum, const at::Tensor& weight,
                         const at::Tensor& inverse_rms, const at::Tensor& grad_sum, const at::Tensor& grad_x) const override {
    for_type(sum, [&]<class T>(T) {
      cuda::rms_norm_backward(data<T>(grad_out), data<T>(sum), data<T>(weight), data<float>(inverse_rms), sum.size(0),
                              sum.size(1), data<T>(grad_sum), mutable_data<T>(grad_x), kDefaultStream);
    });
  }

  void swiglu_forward(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& out) const override {
    for_type(gate, [&]<class T>(T) {
      cuda::swiglu_forward(data<T>(gate), data<T>(up), gate.numel(), mutable_data<T>(out), kDefaultStream);
    });
  }
  void swiglu_backward(const at::Tensor& grad_out, const at::Tensor& gate, const at::Tensor& up, const at::Tensor& grad_gate,
                       const at::Tensor& grad_up) const override {
    for_type(gate, [&]<class T>(T) {
      cuda::swiglu_backward(data<T>(grad_out), data<T>(gate), data<T>(up), gate.numel(), mutable_data<T>(grad_gate),
                            mutable_data<T>(grad_up), kDefaultStream);
    });
  }

  void rope(const at::Tensor& x, const at::Tensor& position, const RopeTensors& table, bool backward) const override {
    for_type(x, [&]<class T>(T) {
      cuda::rope(mutable_data<T>(x), x.size(0), x.size(1), x.size(2), data<std::uint32_t>(position), data<float>(table.cos),
                 data<float>(table.sin), backward, kDefaultStream);
    });
  }

  void lora_forward(const LoraCall& call, const at::Tensor& q, const at::Tensor& v, const at::Tensor& q_low,
                    const at::Tensor& v_low) const override {
    for_type(call.x, [&]<class T>(T) {
      cuda::lora_forward(lora_input<T>(call), q_projection(call), v_projection(call), mutable_data<T>(q), mutable_data<T>(v),
                         mutable_data<float>(q_low), mutable_data<float>(v_low), kDefaultStream);
    });
  }
  void lora_backward(const LoraCall& call, const at::Tensor& grad_q, const at::Tensor& grad_v, const at::Tensor& q_low,
                     const at::Tensor& v_low, const at::Tensor& grad_a_q, const at::Tensor& grad_b_q, const at::Tensor& grad_a_v,
                     const at::Tensor& grad_b_v, const at::Tensor& grad_x) const override {
    const at::Tensor workspace = at::empty({cuda::lora_backward_workspace(call.x.size(0), call.x.size(1), call.rank(),
                                                                          call.experts(), call.b_q.size(-2), call.b_v.size(-2))},
                                           call.a_q.options());
    for_type(call.x, [&]<class T>(T) {
      cuda::lora_backward(lora_input<T>(call), q_projection(call), v_projection(call), data<T>(grad_q), data<T>(grad_v),
                          data<float>(q_low), data<float>(v_low), mutable_data<float>(grad_a_q), mutable_data<float>(grad_b_q),
                          mutable_data<float>(grad_a_v), mutable_data<float>(grad_b_v), mutable_data<T>(grad_x),
                          mutable_data<float>(workspace), kDefaultStream);
    });
  }

  void embed_splice_forward(const at::Tensor& embedding, const at::Tensor& features, const at::Tensor& token,
                            const at::Tensor& out) const override {
    for_type(embedding, [&]<class T>(T) {
      cuda::embed_splice_forward(data<T>(embedding), data<float>(features), data<std::int32_t>(token), token.numel(),
                                 embedding.size(1), mutable_data<T>(out), kDefaultStream);
    });
  }
  void embed_splice_backward(const at::Tensor& grad_out, const at::Tensor& token,
                             const at::Tensor& grad_features) const override {
    for_type(grad_out, [&]<class T>(T) {
      cuda::embed_splice_backward(data<T>(grad_out), data<std::int32_t>(token), token.numel(), grad_out.size(1),
                                  grad_features.size(0), mutable_data<float>(grad_features), kDefaultStream);
    });
  }

  void yes_bce(const at::Tensor& hidden, const at::Tensor& yes_weight, const at::Tensor& label, const at::Tensor& weight,
               const at::Tensor& logit, const at::Tensor& loss, const at::Tensor& grad_hidden) const override {
    for_type(hidden, [&]<class T>(T) {
      cuda::yes_bce(data<T>(hidden), data<T>(yes_weight), data<float>(label), data<float>(weight), hidden.size(0), hidden.size(1),
                    mutable_data<float>(logit), mutable_data<float>(loss), mutable_data<T>(grad_hidden), kDefaultStream);
    });
  }
  void softmax_cross_entropy(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& weight, const at::Tensor& loss,
                             bool gradient) const override {
    for_type(logits, [&]<class T>(T) {
      cuda::softmax_cross_entropy(mutable_data<T>(logits), data<std::int64_t>(target), data<float>(weight), logits.size(0),
                                  logits.size(1), mutable_data<float>(loss), gradient, kDefaultStream);
    });
  }

  kernels::GradientNorm gradient_norm(std::span<const kernels::AdamwTensor> tensors, at::Device device) const override {
    const TensorList there(tensors, device);
    const at::TensorOptions doubles = at::TensorOptions(at::kDouble).device(device);
    const at::Tensor workspace = at::empty({cuda::gradient_norm_workspace(there.count, there.largest)}, doubles);
    const at::Tensor norm = at::empty({2}, doubles);
    cuda::gradient_norm(there.begin(), there.count, there.largest, mutable_data<double>(workspace), mutable_data<double>(norm),
                        kDefaultStream);
    const at::Tensor here = norm.to(at::kCPU);
    return {here[0].item<double>(), here[1].item<double>() != 0};
  }
  void adamw(std::span<const kernels::AdamwTensor> tensors, const kernels::AdamwStep& step, at::Device device) const override {
    const TensorList there(tensors, device);
    cuda::adamw(there.begin(), there.count, there.largest, step, kDefaultStream);
  }
};

}  // namespace

const OpKernels& cuda_op_kernels() {
  static const CudaKernels kernels;
  return kernels;
}

}  // namespace thinkrec
