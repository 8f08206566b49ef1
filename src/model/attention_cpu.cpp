#include "model/attention_cpu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include "core/error.h"
#include "kernels/attention.h"

namespace thinkrec {
namespace {

kernels::Attention attention_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RowExtents& rows,
                                std::span<const std::int64_t> query) {
  THINKREC_CHECK(q.is_contiguous() && k.is_contiguous() && v.is_contiguous(), "attention of tensors that are not contiguous");
  THINKREC_CHECK(q.dim() == 3 && k.dim() == 3 && q.size(2) == k.size(2) && k.sizes() == v.sizes(),
                 "queries, keys and values whose shapes do not fit");
  THINKREC_CHECK(k.size(0) == rows.begin.back(), "{} keys for {} tokens", k.size(0), rows.begin.back());
  return {.begin = rows.begin,
          .reach = rows.reach,
          .query = query,
          .queries = q.size(0),
          .heads = q.size(1),
          .kv_heads = k.size(1),
          .width = q.size(2),
          .q = q.const_data_ptr<float>(),
          .k = k.const_data_ptr<float>(),
          .v = v.const_data_ptr<float>()};
}

}  // namespace

CpuAttention attend_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RowExtents& rows,
                        std::span<const std::int64_t> query) {
  if (q.scalar_type() != at::kFloat) {
    CpuAttention wide = attend_cpu(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), rows, query);
    return {wide.out.to(q.scalar_type()), wide.log_sum_exp};
  }
  RECORD_USER_SCOPE("thinkrec::attention_forward");
  CpuAttention result{at::empty_like(q), at::empty({q.size(1), q.size(0)}, q.options())};
  kernels::attention(attention_of(q, k, v, rows, query), result.out.mutable_data_ptr<float>(),
                     result.log_sum_exp.mutable_data_ptr<float>(), at::get_num_threads());
  return result;
}

QkvGradients attend_cpu_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const CpuAttention& attended, const RowExtents& rows, std::span<const std::int64_t> query) {
  if (const auto type = q.scalar_type(); type != at::kFloat) {
    const auto wide = [](const at::Tensor& x) { return x.to(at::kFloat); };
    const QkvGradients grad =
        attend_cpu_backward(wide(grad_out), wide(q), wide(k), wide(v), {wide(attended.out), attended.log_sum_exp}, rows, query);
    return {grad.q.to(type), grad.k.to(type), grad.v.to(type)};
  }
  RECORD_USER_SCOPE("thinkrec::attention_backward");
  THINKREC_CHECK(grad_out.sizes() == q.sizes() && grad_out.is_contiguous() && attended.out.sizes() == q.sizes() &&
                     attended.out.is_contiguous(),
                 "a result or its gradients unlike the queries");
  const QkvGradients grad{at::empty_like(q), at::empty_like(k), at::empty_like(v)};
  kernels::attention_backward(
      attention_of(q, k, v, rows, query), attended.out.const_data_ptr<float>(), attended.log_sum_exp.const_data_ptr<float>(),
      grad_out.const_data_ptr<float>(),
      {grad.q.mutable_data_ptr<float>(), grad.k.mutable_data_ptr<float>(), grad.v.mutable_data_ptr<float>()},
      at::get_num_threads());
  return grad;
}

}  // namespace thinkrec
