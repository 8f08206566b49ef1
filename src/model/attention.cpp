// Causal attention over packed rows: RoPE by kernels/, then attention_cpu.h on the CPU, libtorch's flash attention on a GPU.

#include <ATen/ATen.h>
#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "core/error.h"
#include "model/attention_cpu.h"
#include "model/llama.h"
#include "model/ops.h"

namespace thinkrec::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// One row's [length, heads, head_width] as flash attention's [1, heads, length, head_width]; key/value heads repeated by `group`.
at::Tensor heads_first(const at::Tensor& packed, std::int64_t begin, std::int64_t length, std::int64_t group) {
  at::Tensor row = packed.narrow(0, begin, length).transpose(0, 1);
  if (group > 1) row = row.unsqueeze(1).expand({-1, group, -1, -1}).flatten(0, 1);
  return row.unsqueeze(0);
}

/// What the backward pass of an attention needs besides q, k, v and the result.
struct Attended {
  at::Tensor out;  ///< [tokens, heads, head_width]
  at::Tensor log_sum_exp;
  at::Tensor rng_state, rng_unused;  // of the GPU's operations, which would draw dropout from them
};
/// Each key/value head repeated for the query heads that share it, and the batch of one that libtorch's fp32 attention asks for.
at::Tensor repeated(const at::Tensor& x, std::int64_t group) {
  return (group > 1 ? x.repeat_interleave(group, 1) : x).unsqueeze(0);
}

constexpr std::int64_t kCausal = 1;  // custom_mask_type of _efficient_attention: causal, aligned at the first token

/// All rows at once: flash attention for bf16, which knows shared heads; the memory-efficient one for fp32, which does not.
Attended attend_gpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& begin,
                    std::int64_t longest) {
  if (q.scalar_type() != at::kFloat) {
    auto [out, lse, state, unused, mask] =
        at::_flash_attention_forward(q, k, v, begin, begin, longest, longest, 0.0, /*is_causal=*/true, false);
    return {out, lse, state, unused};
  }
  const std::int64_t group = q.size(1) / k.size(1);
  auto [out, lse, seed, offset, most_q, most_k] =
      at::_efficient_attention_forward(q.unsqueeze(0), repeated(k, group), repeated(v, group), {}, begin, begin, longest, longest,
                                       0.0, kCausal, /*compute_log_sumexp=*/true);
  return {out.squeeze(0), lse, seed, offset};
}

/// libtorch gives the gradients of attention the same bits every time only where deterministic algorithms are asked for without warn_only,
/// which elsewhere would refuse what has none: so it is while this lives.
class DeterministicHere {
 public:
  DeterministicHere() { set(false); }
  ~DeterministicHere() { set(warn_only_); }
  DeterministicHere(const DeterministicHere&) = delete;
  DeterministicHere& operator=(const DeterministicHere&) = delete;

 private:
  void set(bool warn_only) const {
    if (wanted_) at::globalContext().setDeterministicAlgorithms(true, warn_only);
  }
  const bool wanted_ = at::globalContext().deterministicAlgorithms();
  const bool warn_only_ = at::globalContext().deterministicAlgorithmsWarnOnly();
};

QkvGradients attend_gpu_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const Attended& attended, const at::Tensor& begin, std::int64_t longest) {
  const DeterministicHere deterministic;
  if (q.scalar_type() != at::kFloat) {
    auto [dq, dk, dv] =
        at::_flash_attention_backward(grad_out, q, k, v, attended.out, attended.log_sum_exp, begin, begin, longest, longest, 0.0,
                                      /*is_causal=*/true, attended.rng_state, attended.rng_unused);
    return {dq, dk, dv};
  }
  const std::int64_t kv_heads = k.size(1), group = q.size(1) / kv_heads;
  auto [dq, dk, dv, bias] = at::_efficient_attention_backward(
      grad_out.unsqueeze(0), q.unsqueeze(0), repeated(k, group), repeated(v, group), {}, attended.out.unsqueeze(0), begin, begin,
      longest, longest, attended.log_sum_exp, 0.0, attended.rng_state, attended.rng_unused, kCausal, false);
  const auto fold = [&](const at::Tensor& g) { return g.squeeze(0).unflatten(1, {kv_heads, group}).sum(2); };
  return {dq.squeeze(0), fold(dk), fold(dv)};
}

std::span<const std::int64_t> tokens_of(const std::optional<at::Tensor>& query) {
  if (!query) return {};
  return {query->const_data_ptr<std::int64_t>(), static_cast<std::size_t>(query->numel())};
}

struct RopeAttention : Function<RopeAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& position, const at::Tensor& begin, const at::Tensor& cos, const at::Tensor& sin,
                            const std::vector<std::int64_t>& begin_host, const std::vector<std::int64_t>& reach_host,
                            std::int64_t longest, const std::optional<at::Tensor>& query) {
    kernels_for(q).rope(q, query ? position.index_select(0, *query) : position, {cos, sin}, false);
    kernels_for(k).rope(k, position, {cos, sin}, false);
    Attended attended;
    if (q.is_cpu()) {
      const CpuAttention on_cpu = attend_cpu(q, k, v, {begin_host, reach_host}, tokens_of(query));
      attended = {on_cpu.out, on_cpu.log_sum_exp, {}, {}};
    } else {
      attended = attend_gpu(q, k, v, begin, longest);
    }
    context->save_for_backward({q, k, v, position, begin, cos, sin, attended.out, attended.log_sum_exp, attended.rng_state,
                                attended.rng_unused, query.value_or(at::Tensor())});
    context->saved_data["begin"] = begin_host;
    context->saved_data["reach"] = reach_host;
    context->saved_data["longest"] = longest;
    return attended.out.flatten(1);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &position = saved[3];
    const RopeTensors rope{saved[5], saved[6]};
    const Attended attended{saved[7], saved[8], saved[9], saved[10]};
    const auto query = saved[11].defined() ? std::optional(saved[11]) : std::nullopt;
    const at::Tensor grad_out = grads[0].contiguous().view(q.sizes());
    QkvGradients grad;
    if (q.is_cpu()) {
      const auto begin = context->saved_data["begin"].toIntVector(), reach = context->saved_data["reach"].toIntVector();
      grad = attend_cpu_backward(grad_out, q, k, v, {attended.out, attended.log_sum_exp}, {begin, reach}, tokens_of(query));
    } else {
      grad = attend_gpu_backward(grad_out, q, k, v, attended, saved[4], context->saved_data["longest"].toInt());
    }
    grad.q = grad.q.contiguous();  // the GPU's operations give views
    grad.k = grad.k.contiguous();
    kernels_for(q).rope(grad.q, query ? position.index_select(0, *query) : position, rope, true);
    kernels_for(q).rope(grad.k, position, rope, true);
    return {grad.q, grad.k, grad.v, {}, {}, {}, {}, {}, {}, {}, {}};
  }
};

/// One row after what its cache holds: causal where it begins, else a single new token that sees all.
at::Tensor attend_cached(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal) {
  if (q.is_cpu()) return std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal));
  return at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal);
}

}  // namespace

at::Tensor rope_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const DeviceBatch& batch,
                          const RopeTensors& rope, const at::Tensor& needed) {
  for (std::size_t row = 0; !q.is_cpu() && row < batch.reach_host.size(); ++row)
    THINKREC_CHECK(batch.reach_host[row] == batch.begin_host[row + 1], "rows share tokens on the CPU only");
  const auto apply = [&](const at::Tensor& asking, const std::optional<at::Tensor>& query) {
    return RopeAttention::apply(asking, k, v, batch.position, batch.begin, rope.cos, rope.sin, batch.begin_host, batch.reach_host,
                                batch.longest, query);
  };
  if (!needed.defined()) return apply(q, std::nullopt);
  if (!q.is_cpu()) return apply(q, std::nullopt).index_select(0, needed);  // flash attention answers all
  // Rows that share tokens may need the same one, and in any order.
  const auto [query, answer] = at::_unique(needed, /*sorted=*/true, /*return_inverse=*/true);
  return apply(q.index_select(0, query), query).index_select(0, answer);
}

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const DeviceBatch& batch,
                            const RopeTensors& rope, std::int64_t layer, KvCache& cache) {
  kernels_for(q).rope(q, batch.position, rope, false);
  kernels_for(k).rope(k, batch.position, rope, false);
  const std::int64_t group = q.size(1) / k.size(1);
  const at::Tensor out = at::empty_like(q);
  for (std::int64_t row = 0; row < batch.rows(); ++row) {
    const std::int64_t first = batch.begin_host[static_cast<std::size_t>(row)], length = batch.length(row),
                       before = cache.length(row);
    if (length == 0) continue;
    THINKREC_CHECK(before + length <= cache.capacity(), "{} + {} tokens in a cache of {}", before, length, cache.capacity());
    THINKREC_CHECK(before == 0 || length == 1, "a cached row continues one token at a time");
    cache.keys(layer, row).narrow(0, before, length).copy_(k.narrow(0, first, length));
    cache.values(layer, row).narrow(0, before, length).copy_(v.narrow(0, first, length));
    const at::Tensor attended =
        attend_cached(heads_first(q, first, length, 1), heads_first(cache.keys(layer, row), 0, before + length, group),
                      heads_first(cache.values(layer, row), 0, before + length, group), before == 0);
    out.narrow(0, first, length).copy_(attended.squeeze(0).transpose(0, 1));
  }
  return out.flatten(1);
}

}  // namespace thinkrec::ops
