#include "model/ops.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <bit>

#include "core/error.h"
#include "kernels/fp32_product.h"
#include "kernels/split_product.h"

namespace thinkrec::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// Autograd functions take an absent tensor as an empty optional, not as an undefined tensor.
std::optional<at::Tensor> present(const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; }

constexpr std::int64_t kFewestRows = 64;  // of a product of our own; below, packing the weights takes longer than it saves

std::int64_t workspace_bytes(const kernels::Product& product, int parts, int threads) {
  const std::int64_t bytes =
      kernels::have_split_products()
          ? kernels::split_product_workspace(product, parts, threads) * static_cast<std::int64_t>(sizeof(std::uint16_t))
          : kernels::fp32_product_workspace(product, threads) * static_cast<std::int64_t>(sizeof(float));
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(bytes)));  // so that it seldom grows
}

bool have_products() { return kernels::have_split_products() || kernels::have_fp32_products(); }

/// into = x weight^T when `transposed`, else x weight. All contiguous.
void product(at::Tensor into, const at::Tensor& x, const at::Tensor& weight, bool transposed) {
  const auto precision = at::globalContext().float32MatmulPrecision();
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || x.size(0) < kFewestRows ||
      precision == at::Float32MatmulPrecision::MEDIUM || !have_products()) {
    at::mm_out(into, x, transposed ? weight.t() : weight);
    return;
  }
  RECORD_USER_SCOPE_WITH_INPUTS("thinkrec::product", (std::vector<c10::IValue>{x, into}));
  const kernels::Product product{x.const_data_ptr<float>(),
                                 weight.const_data_ptr<float>(),
                                 into.mutable_data_ptr<float>(),
                                 x.size(0),
                                 x.size(1),
                                 into.size(1),
                                 transposed};
  const int parts = precision == at::Float32MatmulPrecision::HIGHEST ? 3 : 2, threads = at::get_num_threads();
  // Kept for the next product: its pages are expensive the first time.
  thread_local at::Tensor workspace;
  const std::int64_t bytes = workspace_bytes(product, parts, threads);
  if (!workspace.defined() || workspace.numel() < bytes) workspace = at::empty({bytes}, at::kByte);
  void* const memory = workspace.mutable_data_ptr();
  if (kernels::have_split_products()) {
    kernels::split_product(product, parts, static_cast<std::uint16_t*>(memory), threads);
  } else {
    kernels::fp32_product(product, static_cast<float*>(memory), threads);
  }
}

/// x w^T, or x w; of the rows `asked` alone if they are given, the others 0. Where a row is asked for twice, both write the same.
at::Tensor product_of(const at::Tensor& x, const at::Tensor& weight, bool transposed, const at::Tensor& asked) {
  const at::Tensor from = asked.defined() ? x.index_select(0, asked) : x.contiguous();
  const at::Tensor made = at::empty({from.size(0), weight.size(transposed ? 0 : 1)}, x.options());
  product(made, from, weight, transposed);
  return asked.defined() ? at::zeros({x.size(0), made.size(1)}, x.options()).index_copy_(0, asked, made) : made;
}

struct Linear : Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& asked) {
    context->save_for_backward({weight, asked.value_or(at::Tensor())});
    return product_of(x, weight, true, asked.value_or(at::Tensor()));
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    return {product_of(grads[0], saved[0], false, saved[1]), at::Tensor(), at::Tensor()};
  }
};

struct RmsNorm : Function<RmsNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                               const at::Tensor& weight, double epsilon) {
    const at::Tensor sum = residual ? at::empty_like(x) : x;
    const at::Tensor out = at::empty_like(x), inverse_rms = at::empty({x.size(0)}, x.options().dtype(at::kFloat));
    kernels_for(x).rms_norm_forward(x, residual.value_or(at::Tensor()), weight, static_cast<float>(epsilon),
                                    residual ? sum : at::Tensor(), out, inverse_rms);
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
    const at::Tensor grad_x = at::empty_like(sum);
    kernels_for(sum).rms_norm_backward(grad_out, sum, saved[1], saved[2], grad_sum, grad_x);
    return {grad_x, residual ? grad_x : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct Swiglu : Function<Swiglu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    const at::Tensor out = at::empty_like(gate);
    kernels_for(gate).swiglu_forward(gate, up, out);
    context->save_for_backward({gate, up});
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor grad_out = grads[0].contiguous();
    const at::Tensor grad_gate = at::empty_like(saved[0]), grad_up = at::empty_like(saved[0]);
    kernels_for(grad_out).swiglu_backward(grad_out, saved[0], saved[1], grad_gate, grad_up);
    return {grad_gate, grad_up};
  }
};

struct Recomputed : Function<Recomputed> {
  struct Layer : torch::CustomClassHolder {
    std::function<at::Tensor(const at::Tensor&)> run;
  };

  /// `anchor` requires a gradient, and so the result does, also where only what `layer` itself holds is trained.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& /*anchor*/,
                            const c10::intrusive_ptr<Layer>& layer) {
    context->save_for_backward({hidden});
    context->saved_data["layer"] = c10::IValue::make_capsule(layer);
    context->saved_data["needs_hidden"] = hidden.requires_grad();
    return layer->run(hidden);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor hidden = context->get_saved_variables()[0].detach();
    hidden.requires_grad_(context->saved_data["needs_hidden"].toBool());
    const auto layer = c10::static_intrusive_pointer_cast<Layer>(context->saved_data["layer"].toCapsule());
    const at::AutoGradMode grad(true);
    const at::Tensor again = layer->run(hidden);
    if (again.requires_grad()) again.backward(grads[0]);
    return {hidden.grad(), at::Tensor(), at::Tensor()};
  }
};

struct LoraQv : Function<LoraQv> {
  /// What an autograd function cannot save by itself: the numbers of the call. Its tensors are saved apart.
  struct Numbers : torch::CustomClassHolder {
    float scale = 1;
    kernels::DropoutKey dropout;
  };

  static variable_list forward(AutogradContext* context, const at::Tensor& x, at::Tensor q, at::Tensor v, const at::Tensor& a_q,
                               const at::Tensor& b_q, const at::Tensor& a_v, const at::Tensor& b_v, const at::Tensor& sample,
                               const at::Tensor& position, const std::optional<at::Tensor>& expert_weight,
                               const c10::intrusive_ptr<Numbers>& numbers) {
    const LoraCall call{
        x, a_q, b_q, a_v, b_v, expert_weight.value_or(at::Tensor()), numbers->scale, sample, position, numbers->dropout};
    const at::Tensor q_low = at::empty({call.experts(), x.size(0), call.rank()}, a_q.options()), v_low = at::empty_like(q_low);
    kernels_for(x).lora_forward(call, q, v, q_low, v_low);
    context->mark_dirty({q, v});
    context->save_for_backward({x, a_q, b_q, a_v, b_v, sample, position, call.expert_weight, q_low, v_low});
    context->saved_data["numbers"] = c10::IValue::make_capsule(numbers);
    context->saved_data["needs_x"] = x.requires_grad();
    return {q, v};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto numbers = c10::static_intrusive_pointer_cast<Numbers>(context->saved_data["numbers"].toCapsule());
    const LoraCall call{saved[0], saved[1],       saved[2], saved[3], saved[4],
                        saved[7], numbers->scale, saved[5], saved[6], numbers->dropout};
    const at::Tensor grad_q = grads[0].contiguous(), grad_v = grads[1].contiguous();
    const at::Tensor grad_a_q = at::zeros_like(call.a_q), grad_b_q = at::zeros_like(call.b_q);
    const at::Tensor grad_a_v = at::zeros_like(call.a_v), grad_b_v = at::zeros_like(call.b_v);
    const at::Tensor grad_x = context->saved_data["needs_x"].toBool() ? at::zeros_like(call.x) : at::Tensor();
    kernels_for(call.x).lora_backward(call, grad_q, grad_v, saved[8], saved[9], grad_a_q, grad_b_q, grad_a_v, grad_b_v, grad_x);
    return {grad_x, grad_q, grad_v, grad_a_q, grad_b_q, grad_a_v, grad_b_v, {}, {}, {}, {}};
  }
};

struct EmbedSplice : Function<EmbedSplice> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& embedding, const std::optional<at::Tensor>& features,
                            const at::Tensor& token) {
    const at::Tensor out = at::empty({token.numel(), embedding.size(1)}, embedding.options());
    kernels_for(embedding).embed_splice_forward(embedding, features.value_or(at::Tensor()), token, out);
    context->save_for_backward({token});
    context->saved_data["slots"] = features ? features->size(0) : std::int64_t{0};
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor token = context->get_saved_variables()[0], grad_out = grads[0].contiguous();
    const at::Tensor grad_features =
        at::empty({context->saved_data["slots"].toInt(), grad_out.size(1)}, grad_out.options().dtype(at::kFloat));
    kernels_for(grad_out).embed_splice_backward(grad_out, token, grad_features);
    return {at::Tensor(), grad_features, at::Tensor()};
  }
};

struct YesBce : Function<YesBce> {
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& yes_weight,
                               const at::Tensor& label, const at::Tensor& weight) {
    const at::Tensor logit = at::empty_like(label), loss = at::empty_like(label), grad_hidden = at::empty_like(hidden);
    kernels_for(hidden).yes_bce(hidden, yes_weight, label, weight, logit, loss, grad_hidden);
    context->save_for_backward({grad_hidden});
    context->mark_non_differentiable({logit, loss});
    return {at::dot(loss, weight), loss, logit};
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {context->get_saved_variables()[0] * grads[0], at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

struct LinearCrossEntropy : Function<LinearCrossEntropy> {
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& head,
                               const at::Tensor& target, const at::Tensor& weight) {
    const std::int64_t rows = hidden.size(0), vocab = head.size(0);
    const std::int64_t chunk = std::max<std::int64_t>(1, std::min(rows, kChunkLogits / vocab));
    const bool gradient = hidden.requires_grad();
    const at::Tensor loss = at::empty_like(weight), grad_hidden = gradient ? at::empty_like(hidden) : at::Tensor();
    const at::Tensor buffer = at::empty({chunk, vocab}, hidden.options());
    for (std::int64_t first = 0; first < rows; first += chunk) {
      const std::int64_t n = std::min(chunk, rows - first);
      const at::Tensor logits = buffer.narrow(0, 0, n);
      product(logits, hidden.narrow(0, first, n), head, true);
      kernels_for(hidden).softmax_cross_entropy(logits, target.narrow(0, first, n), weight.narrow(0, first, n),
                                                loss.narrow(0, first, n), gradient);
      if (gradient) product(grad_hidden.narrow(0, first, n), logits, head, false);
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

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& asked) {
  return Linear::apply(x, weight, present(asked));
}

std::int64_t product_workspace_bytes(std::int64_t rows, std::int64_t inner, std::int64_t outs, int threads) {
  return have_products() ? workspace_bytes({nullptr, nullptr, nullptr, rows, inner, outs, true}, 3, threads) : 0;
}

std::pair<at::Tensor, at::Tensor> rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                                           float epsilon) {
  const auto out = RmsNorm::apply(x, present(residual), weight, static_cast<double>(epsilon));
  return {residual.defined() ? out[1] : x, out[0]};
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return Swiglu::apply(gate, up); }

std::pair<at::Tensor, at::Tensor> lora_qv(const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const LoraFactors& q_factors, const LoraFactors& v_factors, float scale,
                                          const DeviceBatch& batch, const kernels::DropoutKey& dropout,
                                          const at::Tensor& expert_weight) {
  auto numbers = c10::make_intrusive<LoraQv::Numbers>();
  numbers->scale = scale;
  numbers->dropout = dropout;
  const auto out = LoraQv::apply(x, q, v, q_factors.a, q_factors.b, v_factors.a, v_factors.b, batch.sample, batch.position,
                                 present(expert_weight), numbers);
  return {out[0], out[1]};
}

at::Tensor embed_splice(const at::Tensor& embedding, const at::Tensor& features, const PackedBatch& batch) {
  const std::int64_t slots = features.defined() ? features.size(0) : 0;
  for (const std::int32_t id : batch.token) {
    THINKREC_CHECK(id < 0 ? -1 - id < slots : id < embedding.size(0), "token {} with {} feature slots", id, slots);
  }
  return EmbedSplice::apply(embedding, present(features), tokens_to_device(batch, embedding.device()));
}

at::Tensor recomputed(std::function<at::Tensor(const at::Tensor&)> layer, const at::Tensor& hidden) {
  const auto held = c10::make_intrusive<Recomputed::Layer>();
  held->run = std::move(layer);
  return Recomputed::apply(hidden, at::empty({0}, at::kFloat).requires_grad_(true), held);
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
