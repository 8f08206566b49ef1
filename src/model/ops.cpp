#include "model/ops.h"

#include <ATen/Parallel.h>

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/embed_splice.h"
#include "kernels/lora_qv.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/yes_bce.h"

namespace thinkrec::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

int threads() { return at::get_num_threads(); }

const float* data(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
float* mutable_data(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

/// Autograd functions take an absent tensor as an empty optional, not as an undefined tensor.
std::optional<at::Tensor> present(const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; }

struct RmsNorm : Function<RmsNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                               const at::Tensor& weight, double epsilon) {
    const std::int64_t rows = x.size(0), width = x.size(1);
    at::Tensor sum = residual ? at::empty_like(x) : x;
    at::Tensor out = at::empty_like(x), inverse_rms = at::empty({rows}, x.options());
    kernels::rms_norm_forward(data(x), residual ? data(*residual) : nullptr, data(weight), static_cast<float>(epsilon), rows,
                              width, residual ? mutable_data(sum) : nullptr, mutable_data(out), mutable_data(inverse_rms),
                              threads());
    context->save_for_backward({sum, weight, inverse_rms});
    context->saved_data["residual"] = residual.has_value();
    if (!residual) return {out};
    return {out, sum};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& sum = saved[0];
    const bool residual = context->saved_data["residual"].toBool();
    const at::Tensor grad_out = grads[0].contiguous();
    const at::Tensor grad_sum = residual && grads[1].defined() ? grads[1].contiguous() : at::Tensor();
    at::Tensor grad_x = at::empty_like(sum);
    kernels::rms_norm_backward(data(grad_out), data(sum), data(saved[1]), data(saved[2]), sum.size(0), sum.size(1),
                               grad_sum.defined() ? data(grad_sum) : nullptr, mutable_data(grad_x), threads());
    return {grad_x, residual ? grad_x : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct Swiglu : Function<Swiglu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    at::Tensor out = at::empty_like(gate);
    kernels::swiglu_forward(data(gate), data(up), gate.numel(), mutable_data(out), threads());
    context->save_for_backward({gate, up});
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor grad_out = grads[0].contiguous();
    at::Tensor grad_gate = at::empty_like(saved[0]), grad_up = at::empty_like(saved[0]);
    kernels::swiglu_backward(data(grad_out), data(saved[0]), data(saved[1]), saved[0].numel(), mutable_data(grad_gate),
                             mutable_data(grad_up), threads());
    return {grad_gate, grad_up};
  }
};

struct LoraQv : Function<LoraQv> {
  struct Setting {  // what the kernel needs besides tensors; lives as long as the graph
    std::vector<std::uint64_t> sample;
    std::vector<std::uint32_t> position;
    kernels::DropoutKey dropout;
    float scale = 1;
  };

  static kernels::LoraBatch view(const at::Tensor& x, std::int64_t rank, const Setting& setting) {
    return {data(x), x.size(0), x.size(1), rank, setting.scale, setting.sample.data(), setting.position.data(), setting.dropout};
  }

  static variable_list forward(AutogradContext* context, const at::Tensor& x, at::Tensor q, at::Tensor v, const at::Tensor& a_q,
                               const at::Tensor& b_q, const at::Tensor& a_v, const at::Tensor& b_v,
                               std::int64_t setting_address) {
    const auto& setting = *reinterpret_cast<const std::shared_ptr<Setting>*>(setting_address);
    const std::int64_t rank = a_q.size(0);
    at::Tensor q_low = at::empty({x.size(0), rank}, x.options()), v_low = at::empty_like(q_low);
    kernels::lora_qv_forward(view(x, rank, *setting), {data(a_q), data(b_q), b_q.size(0)}, {data(a_v), data(b_v), b_v.size(0)},
                             mutable_data(q), mutable_data(v), mutable_data(q_low), mutable_data(v_low), threads());
    context->mark_dirty({q, v});
    context->save_for_backward({x, a_q, b_q, a_v, b_v, q_low, v_low});
    context->saved_data["setting"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(setting));
    context->saved_data["needs_x"] = x.requires_grad();
    return {q, v};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto holder = c10::static_intrusive_pointer_cast<Holder>(context->saved_data["setting"].toCapsule());
    const at::Tensor &x = saved[0], &a_q = saved[1], &b_q = saved[2], &a_v = saved[3], &b_v = saved[4];
    const at::Tensor grad_q = grads[0].contiguous(), grad_v = grads[1].contiguous();
    const bool needs_x = context->saved_data["needs_x"].toBool();
    at::Tensor grad_a_q = at::zeros_like(a_q), grad_b_q = at::zeros_like(b_q);
    at::Tensor grad_a_v = at::zeros_like(a_v), grad_b_v = at::zeros_like(b_v);
    at::Tensor grad_x = needs_x ? at::zeros_like(x) : at::Tensor();
    kernels::lora_qv_backward(view(x, a_q.size(0), *holder->setting), {data(a_q), data(b_q), b_q.size(0)},
                              {data(a_v), data(b_v), b_v.size(0)}, data(grad_q), data(grad_v), data(saved[5]), data(saved[6]),
                              mutable_data(grad_a_q), mutable_data(grad_b_q), mutable_data(grad_a_v), mutable_data(grad_b_v),
                              needs_x ? mutable_data(grad_x) : nullptr, threads());
    return {grad_x, grad_q, grad_v, grad_a_q, grad_b_q, grad_a_v, grad_b_v, at::Tensor()};
  }

  struct Holder : torch::CustomClassHolder {
    explicit Holder(std::shared_ptr<Setting> s) : setting(std::move(s)) {}
    std::shared_ptr<Setting> setting;
  };
};

struct EmbedSplice : Function<EmbedSplice> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& embedding, const std::optional<at::Tensor>& features,
                            const at::Tensor& token) {
    const std::int64_t tokens = token.numel(), width = embedding.size(1);
    at::Tensor out = at::empty({tokens, width}, embedding.options());
    kernels::embed_splice_forward(data(embedding), features ? data(*features) : nullptr, token.const_data_ptr<std::int32_t>(),
                                  tokens, width, mutable_data(out), threads());
    context->save_for_backward({token});
    context->saved_data["slots"] = features ? features->size(0) : std::int64_t{0};
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor token = context->get_saved_variables()[0], grad_out = grads[0].contiguous();
    const std::int64_t slots = context->saved_data["slots"].toInt(), width = grad_out.size(1);
    at::Tensor grad_features = at::empty({slots, width}, grad_out.options());
    kernels::embed_splice_backward(data(grad_out), token.const_data_ptr<std::int32_t>(), token.numel(), width, slots,
                                   mutable_data(grad_features), threads());
    return {at::Tensor(), grad_features, at::Tensor()};
  }
};

struct YesBce : Function<YesBce> {
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& yes_weight,
                               const at::Tensor& label, const at::Tensor& weight) {
    const std::int64_t rows = hidden.size(0), width = hidden.size(1);
    at::Tensor logit = at::empty({rows}, hidden.options()), loss = at::empty({rows}, hidden.options());
    at::Tensor grad_hidden = at::empty_like(hidden);
    kernels::yes_bce(data(hidden), data(yes_weight), data(label), data(weight), rows, width, mutable_data(logit),
                     mutable_data(loss), mutable_data(grad_hidden), threads());
    context->save_for_backward({grad_hidden});
    context->mark_non_differentiable({logit, loss});
    return {at::dot(loss, weight), loss, logit};
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {context->get_saved_variables()[0] * grads[0], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct LinearCrossEntropy : Function<LinearCrossEntropy> {
  static constexpr std::int64_t kChunkFloats = std::int64_t{1}
                                               << 24;  // 64 MiB of logits at a time: less, and the head is read too often

  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& head,
                               const at::Tensor& target, const at::Tensor& weight) {
    const std::int64_t rows = hidden.size(0), vocab = head.size(0);
    const std::int64_t chunk = std::max<std::int64_t>(1, std::min(rows, kChunkFloats / vocab));
    const bool gradient = hidden.requires_grad();
    at::Tensor loss = at::empty({rows}, hidden.options()), grad_hidden = gradient ? at::empty_like(hidden) : at::Tensor();
    at::Tensor buffer = at::empty({chunk, vocab}, hidden.options());
    for (std::int64_t first = 0; first < rows; first += chunk) {
      const std::int64_t n = std::min(chunk, rows - first);
      at::Tensor logits = buffer.narrow(0, 0, n);
      at::mm_out(logits, hidden.narrow(0, first, n), head.t());
      kernels::softmax_cross_entropy(mutable_data(logits), target.const_data_ptr<std::int64_t>() + first, data(weight) + first, n,
                                     vocab, mutable_data(loss) + first, gradient, threads());
      if (gradient) {
        at::Tensor rows_of_chunk = grad_hidden.narrow(0, first, n);
        at::mm_out(rows_of_chunk, logits, head);
      }
    }
    if (gradient) context->save_for_backward({grad_hidden});
    context->mark_non_differentiable({loss});
    return {at::dot(loss, weight), loss};
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {context->get_saved_variables()[0] * grads[0], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::pair<at::Tensor, at::Tensor> rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                                           float epsilon) {
  const auto out = RmsNorm::apply(x, present(residual), weight, static_cast<double>(epsilon));
  return {residual.defined() ? out[1] : x, out[0]};
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return Swiglu::apply(gate, up); }

std::pair<at::Tensor, at::Tensor> lora_qv(const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const LoraFactors& q_factors, const LoraFactors& v_factors, float scale,
                                          const PackedBatch& batch, const kernels::DropoutKey& dropout) {
  auto setting = std::make_shared<LoraQv::Setting>();
  setting->sample = batch.sample;
  setting->position = batch.position;
  setting->dropout = dropout;
  setting->scale = scale;
  const auto out =
      LoraQv::apply(x, q, v, q_factors.a, q_factors.b, v_factors.a, v_factors.b, reinterpret_cast<std::int64_t>(&setting));
  return {out[0], out[1]};
}

at::Tensor embed_splice(const at::Tensor& embedding, const at::Tensor& features, const PackedBatch& batch) {
  const at::Tensor token = at::empty({batch.tokens()}, at::kInt);
  std::copy(batch.token.begin(), batch.token.end(), token.mutable_data_ptr<std::int32_t>());
  const std::int64_t slots = features.defined() ? features.size(0) : 0;
  for (const std::int32_t id : batch.token) {
    THINKREC_CHECK(id < 0 ? -1 - id < slots : id < embedding.size(0), "token {} with {} feature slots", id, slots);
  }
  return EmbedSplice::apply(embedding, present(features), token);
}

WeightedLoss yes_bce(const at::Tensor& hidden, const at::Tensor& yes_weight, const at::Tensor& label, const at::Tensor& weight) {
  const auto out = YesBce::apply(hidden, yes_weight, label, weight);
  return {out[0], out[1], out[2]};
}

WeightedLoss linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& target,
                                  const at::Tensor& weight) {
  const auto out = LinearCrossEntropy::apply(hidden, head, target, weight);
  return {out[0], out[1], at::Tensor()};
}

}  // namespace thinkrec::ops
