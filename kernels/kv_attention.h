#pragma once
// Causal attention of new tokens over keys and values that are kept, for generation (one layer). What a row has read lies in segments,
// which rows may share: a prefix of many rows is there once. fp32 throughout; keys and values may be stored as bf16 (Real). A query's
// result is the same bits whatever stands beside it, however its keys are cut into segments, and for any number of threads.

#include <span>

#include "kernels/bfloat16.h"
#include "kernels/views.h"

namespace thinkrec::kernels {

inline constexpr std::int64_t kKeyBlock = 16;

struct KvShape {
  std::int64_t heads, kv_heads, head_width;  ///< heads is a multiple of kv_heads
};

/// One layer's keys [kv_heads, capacity / kKeyBlock, head_width, kKeyBlock] and values [kv_heads, capacity, head_width] of the first
/// `length` of its tokens; capacity is a multiple of kKeyBlock.
template <class Real>
struct KvSegment {
  Real* keys;
  Real* values;
  std::int64_t capacity, length;
};

/// New tokens of a row: tokens begin .. begin + tokens - 1 of the batch, the last of what the segments hold.
template <class Real>
struct KvRow {
  std::int64_t begin, tokens;
  std::span<const KvSegment<Real>> segments;
};

/// Puts k (rotated) and v of `tokens` tokens, each [tokens, kv_heads, head_width], into a segment from its token `at` on; its length is not
/// looked at. Errors: beyond the capacity.
template <class Real>
void kv_store(const KvShape& shape, const float* k, const float* v, std::int64_t tokens, const KvSegment<Real>& segment,
              std::int64_t at);

/// out[tokens, heads, head_width] from q of the same shape (rotated): softmax(q k / sqrt(head_width)) v over the row's tokens up to the
/// query's own. Errors: sizes out of range, a row whose segments hold fewer tokens than it brings.
template <class Real>
void kv_attention(const KvShape& shape, const float* q, std::span<const KvRow<Real>> rows, float* out, int threads);
template <class Real>
void kv_attention_reference(const KvShape& shape, const float* q, std::span<const KvRow<Real>> rows, float* out);

}  // namespace thinkrec::kernels
