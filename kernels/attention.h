#pragma once
// Causal attention of packed rows, softmax(q k^T / sqrt(width)) v, and its gradients, in fp32 on the CPU. (GPUs: libtorch's flash
// attention, src/model/attention.cpp.)

#include <cstdint>
#include <span>

namespace thinkrec::kernels {

/// Most query heads that may share a key/value head.
inline constexpr std::int64_t kMostSharedHeads = 128;

/// A token sees its row up to itself, and the whole of the rows that its row follows: rows before it whose `reach` lies behind its row's
/// beginning (PackedBatch). Fewer tokens may ask than answer, so that the last layer asks only where it is read.
struct Attention {
  std::span<const std::int64_t> begin;  ///< [rows + 1], of each row's tokens, ascending from 0
  std::span<const std::int64_t> reach;  ///< [rows], at least the row's end, at most what the rows that it follows reach
  std::span<const std::int64_t>
      query;  ///< [queries], ascending: the token that asks; empty: every token does, or none if `queries` is 0
  std::int64_t queries = 0;
  std::int64_t heads = 1, kv_heads = 1, width = 1;
  const float* q = nullptr;  ///< [queries, heads, width]; heads / kv_heads neighbours share a key/value head
  const float* k = nullptr;  ///< [tokens, kv_heads, width]
  const float* v = nullptr;  ///< [tokens, kv_heads, width]
};

struct AttentionGradients {
  float* q;  ///< [queries, heads, width]
  float* k;  ///< [tokens, kv_heads, width]
  float* v;  ///< [tokens, kv_heads, width]
};

/// out [queries, heads, width]; log_sum_exp [heads, queries] of the scaled scores. Where all values are finite, a query's bits depend on its own
/// keys alone; they depend on no number of threads.
void attention(const Attention& asked, float* out, float* log_sum_exp, int threads);
void attention_reference(const Attention& asked, float* out, float* log_sum_exp);

/// Gradients by making the weights again from log_sum_exp (Dao et al. 2022, FlashAttention). The same bits for any number of threads.
void attention_backward(const Attention& asked, const float* out, const float* log_sum_exp, const float* grad_out,
                        const AttentionGradients& grad, int threads);
void attention_backward_reference(const Attention& asked, const float* grad_out, const AttentionGradients& grad);

}  // namespace thinkrec::kernels
