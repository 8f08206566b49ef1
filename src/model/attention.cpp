// Causal attention over packed rows: RoPE by kernels/, then libtorch's flash attention one row at a time.

#include <ATen/Parallel.h>
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

void rotate(const at::Tensor& x, const at::Tensor& position, const kernels::RopeTable& rope, bool backward) {
  const auto apply = backward ? kernels::rope_backward : kernels::rope_forward;
  apply(x.mutable_data_ptr<float>(), x.size(0), x.size(1), x.size(2),
        reinterpret_cast<const std::uint32_t*>(position.const_data_ptr<std::int32_t>()), rope.cos.data(), rope.sin.data(),
        at::get_num_threads());
}

struct RopeAttention : Function<RopeAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& position, const std::vector<std::int64_t>& begin, std::int64_t rope_address) {
    const auto& rope = *reinterpret_cast<const kernels::RopeTable*>(rope_address);
    rotate(q, position, rope, false);
    rotate(k, position, rope, false);
    const std::int64_t group = q.size(1) / k.size(1);
    at::Tensor out = at::empty_like(q);
    at::Tensor log_sum_exp = at::empty({q.size(1), q.size(0)}, q.options());
    for (std::size_t row = 0; row + 1 < begin.size(); ++row) {
      const std::int64_t first = begin[row], length = begin[row + 1] - first;
      if (length == 0) continue;
      const auto [attended, lse] =
          at::_scaled_dot_product_flash_attention_for_cpu(heads_first(q, first, length, 1), heads_first(k, first, length, group),
                                                          heads_first(v, first, length, group), 0.0, true);
      out.narrow(0, first, length).copy_(attended.squeeze(0).transpose(0, 1));
      log_sum_exp.narrow(1, first, length).copy_(lse.squeeze(0));
    }
    context->save_for_backward({q, k, v, position, out, log_sum_exp});
    context->saved_data["begin"] = begin;
    context->saved_data["rope"] = rope_address;
    return out.flatten(1);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &position = saved[3], &out = saved[4], &log_sum_exp = saved[5];
    const auto begin = context->saved_data["begin"].toIntVector();
    const auto& rope = *reinterpret_cast<const kernels::RopeTable*>(context->saved_data["rope"].toInt());
    const std::int64_t heads = q.size(1), kv_heads = k.size(1), head_width = q.size(2), group = heads / kv_heads;
    const at::Tensor grad_out = grads[0].contiguous().view(q.sizes());
    at::Tensor grad_q = at::empty_like(q), grad_k = at::empty_like(k), grad_v = at::empty_like(v);
    for (std::size_t row = 0; row + 1 < begin.size(); ++row) {
      const std::int64_t first = begin[row], length = begin[row + 1] - first;
      if (length == 0) continue;
      const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          heads_first(grad_out, first, length, 1), heads_first(q, first, length, 1), heads_first(k, first, length, group),
          heads_first(v, first, length, group), heads_first(out, first, length, 1),
          log_sum_exp.narrow(1, first, length).contiguous().unsqueeze(0), 0.0, true);
      grad_q.narrow(0, first, length).copy_(dq.squeeze(0).transpose(0, 1));
      const auto fold = [&](const at::Tensor& grad) {  // sum over the query heads that share a key/value head
        return grad.view({kv_heads, group, length, head_width}).sum(1).transpose(0, 1);
      };
      grad_k.narrow(0, first, length).copy_(fold(dk.contiguous()));
      grad_v.narrow(0, first, length).copy_(fold(dv.contiguous()));
    }
    rotate(grad_q, position, rope, true);
    rotate(grad_k, position, rope, true);
    return {grad_q, grad_k, grad_v, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor positions(const PackedBatch& batch) {
  at::Tensor position = at::empty({batch.tokens()}, at::kInt);
  std::copy(batch.position.begin(), batch.position.end(),
            reinterpret_cast<std::uint32_t*>(position.mutable_data_ptr<std::int32_t>()));
  return position;
}

}  // namespace

at::Tensor rope_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedBatch& batch,
                          const kernels::RopeTable& rope) {
  return RopeAttention::apply(q, k, v, positions(batch), batch.begin, reinterpret_cast<std::int64_t>(&rope));
}

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedBatch& batch,
                            const kernels::RopeTable& rope, std::int64_t layer, KvCache& cache) {
  const at::Tensor position = positions(batch);
  rotate(q, position, rope, false);
  rotate(k, position, rope, false);
  const std::int64_t group = q.size(1) / k.size(1);
  at::Tensor out = at::empty_like(q);
  for (std::int64_t row = 0; row < batch.rows(); ++row) {
    const std::int64_t first = batch.begin[static_cast<std::size_t>(row)], length = batch.length(row), before = cache.length(row);
    if (length == 0) continue;
    THINKREC_CHECK(before + length <= cache.capacity(), "{} + {} tokens in a cache of {}", before, length, cache.capacity());
    THINKREC_CHECK(before == 0 || length == 1, "a cached row continues one token at a time");
    cache.keys(layer, row).narrow(0, before, length).copy_(k.narrow(0, first, length));
    cache.values(layer, row).narrow(0, before, length).copy_(v.narrow(0, first, length));
    const auto [attended, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
        heads_first(q, first, length, 1), heads_first(cache.keys(layer, row), 0, before + length, group),
        heads_first(cache.values(layer, row), 0, before + length, group), 0.0, before == 0);
    out.narrow(0, first, length).copy_(attended.squeeze(0).transpose(0, 1));
  }
  return out.flatten(1);
}

}  // namespace thinkrec::ops
