#pragma once
// Attention of packed rows on the CPU, kernels/attention.h on tensors.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace thinkrec {

/// Rows, and which tokens behind them see them too (PackedBatch).
struct RowExtents {
  std::span<const std::int64_t> begin;  ///< [rows + 1]
  std::span<const std::int64_t> reach;  ///< [rows]
};

struct CpuAttention {
  at::Tensor out;          ///< [queries, heads, head_width]
  at::Tensor log_sum_exp;  ///< [heads, queries] of the scaled scores
};
struct QkvGradients {
  at::Tensor q, k, v;
};

/// q [queries, heads, head_width], k and v [tokens, kv_heads, head_width], all contiguous and rotated already, computed in fp32. query[i], ascending, is
/// the token of q[i]; empty: every token asks. A token sees its row up to itself and the whole of the rows that its row follows.
CpuAttention attend_cpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const RowExtents& rows,
                        std::span<const std::int64_t> query = {});

/// The same bits for any number of threads.
QkvGradients attend_cpu_backward(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const CpuAttention& attended, const RowExtents& rows, std::span<const std::int64_t> query = {});

}  // namespace thinkrec
