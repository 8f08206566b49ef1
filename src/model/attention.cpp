// Causal attention over packed rows: RoPE by kernels/, then libtorch's attention, one row at a time on the CPU, all rows at once on a GPU.

#include <ATen/ATen.h>
#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

#include "core/error.h"
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
struct QkvGradients {
  at::Tensor q, k, v;
};

/// Rows and which tokens behind them see them too (PackedBatch).
struct Extents {
  const std::vector<std::int64_t>&begin, &reach;
  std::size_t rows() const { return reach.size(); }
};

/// Row by row, through libtorch's kernel for the CPU; log_sum_exp [heads, tokens]. A softmax over several rows' keys is put together from
/// those over each (Milakov and Gimelshein 2018).
Attended attend_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Extents& extents) {
  const std::vector<std::int64_t>& begin = extents.begin;
  const std::int64_t group = q.size(1) / k.size(1);
  Attended result{at::empty_like(q), at::empty({q.size(1), q.size(0)}, q.options().dtype(at::kFloat)), {}, {}};
  for (std::size_t row = 0; row + 1 < begin.size(); ++row) {
    const std::int64_t first = begin[row], length = begin[row + 1] - first;
    if (length == 0) continue;
    const auto [attended, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
        heads_first(q, first, length, 1), heads_first(k, first, length, group), heads_first(v, first, length, group), 0.0, true);
    result.out.narrow(0, first, length).copy_(attended.squeeze(0).transpose(0, 1));
    result.log_sum_exp.narrow(1, first, length).copy_(lse.squeeze(0));
  }
  for (std::size_t row = 0; row < extents.rows(); ++row) {
    const std::int64_t first = begin[row], end = begin[row + 1], behind = extents.reach[row] - end;
    if (behind == 0) continue;
    const auto [attended, lse] =
        at::_scaled_dot_product_flash_attention_for_cpu(heads_first(q, end, behind, 1), heads_first(k, first, end - first, group),
                                                        heads_first(v, first, end - first, group), 0.0, false);
    at::Tensor out = result.out.narrow(0, end, behind), log_sum = result.log_sum_exp.narrow(1, end, behind);
    const at::Tensor part = lse.squeeze(0), total = at::logaddexp(log_sum, part);
    const auto share = [&](const at::Tensor& of) { return (of - total).exp_().t().unsqueeze(2); };  // [behind, heads, 1]
    out.mul_(share(log_sum)).addcmul_(attended.squeeze(0).transpose(0, 1), share(part));
    log_sum.copy_(total);
  }
  return result;
}

QkvGradients attend_cpu_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const Attended& attended, const Extents& extents) {
  const std::vector<std::int64_t>& begin = extents.begin;
  const std::int64_t kv_heads = k.size(1), group = q.size(1) / kv_heads;
  QkvGradients grad{at::empty_like(q), at::empty_like(k), at::empty_like(v)};
  /// Of `count` queries from `from` on, which see the keys of the row at `first`.
  const auto part = [&](std::int64_t from, std::int64_t count, std::int64_t first, std::int64_t length, bool causal) {
    const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        heads_first(grad_out, from, count, 1), heads_first(q, from, count, 1), heads_first(k, first, length, group),
        heads_first(v, first, length, group), heads_first(attended.out, from, count, 1),
        attended.log_sum_exp.narrow(1, from, count).contiguous().unsqueeze(0), 0.0, causal);
    const auto fold = [&](const at::Tensor& g) {  // sum over the query heads that share a key/value head
      return g.contiguous().view({kv_heads, group, length, q.size(2)}).sum(1).transpose(0, 1);
    };
    return QkvGradients{dq.squeeze(0).transpose(0, 1), fold(dk), fold(dv)};
  };
  for (std::size_t row = 0; row + 1 < begin.size(); ++row) {
    const std::int64_t first = begin[row], length = begin[row + 1] - first;
    if (length == 0) continue;
    const QkvGradients own = part(first, length, first, length, true);
    grad.q.narrow(0, first, length).copy_(own.q);
    grad.k.narrow(0, first, length).copy_(own.k);
    grad.v.narrow(0, first, length).copy_(own.v);
  }
  for (std::size_t row = 0; row < extents.rows(); ++row) {
    const std::int64_t first = begin[row], end = begin[row + 1], behind = extents.reach[row] - end;
    if (behind == 0) continue;
    const QkvGradients seen = part(end, behind, first, end - first, false);
    grad.q.narrow(0, end, behind).add_(seen.q);
    grad.k.narrow(0, first, end - first).add_(seen.k);
    grad.v.narrow(0, first, end - first).add_(seen.v);
  }
  return grad;
}

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

QkvGradients attend_gpu_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const Attended& attended, const at::Tensor& begin, std::int64_t longest) {
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

struct RopeAttention : Function<RopeAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& position, const at::Tensor& begin, const at::Tensor& cos, const at::Tensor& sin,
                            const std::vector<std::int64_t>& begin_host, const std::vector<std::int64_t>& reach_host,
                            std::int64_t longest) {
    kernels_for(q).rope(q, position, {cos, sin}, false);
    kernels_for(k).rope(k, position, {cos, sin}, false);
    const Attended attended = q.is_cpu() ? attend_cpu(q, k, v, {begin_host, reach_host}) : attend_gpu(q, k, v, begin, longest);
    context->save_for_backward(
        {q, k, v, position, begin, cos, sin, attended.out, attended.log_sum_exp, attended.rng_state, attended.rng_unused});
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
    const at::Tensor grad_out = grads[0].contiguous().view(q.sizes());
    QkvGradients grad;
    if (q.is_cpu()) {
      const auto begin = context->saved_data["begin"].toIntVector(), reach = context->saved_data["reach"].toIntVector();
      grad = attend_cpu_backward(grad_out, q, k, v, attended, {begin, reach});
    } else {
      grad = attend_gpu_backward(grad_out, q, k, v, attended, saved[4], context->saved_data["longest"].toInt());
    }
    grad.q = grad.q.contiguous();
    grad.k = grad.k.contiguous();
    kernels_for(q).rope(grad.q, position, rope, true);
    kernels_for(q).rope(grad.k, position, rope, true);
    return {grad.q, grad.k, grad.v, {}, {}, {}, {}, {}, {}, {}};
  }
};

/// One row after what its cache holds: causal where it begins, else a single new token that sees all.
at::Tensor attend_cached(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal) {
  if (q.is_cpu()) return std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal));
  return at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal);
}

}  // namespace

at::Tensor rope_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const DeviceBatch& batch,
                          const RopeTensors& rope) {
  for (std::size_t row = 0; !q.is_cpu() && row < batch.reach_host.size(); ++row)
    THINKREC_CHECK(batch.reach_host[row] == batch.begin_host[row + 1], "rows share tokens on the CPU only");
  return RopeAttention::apply(q, k, v, batch.position, batch.begin, rope.cos, rope.sin, batch.begin_host, batch.reach_host,
                              batch.longest);
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
