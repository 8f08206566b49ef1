#pragma once
// In what pieces attention is computed. Only for kernels/attention*.cpp.

#include <vector>

#include "kernels/attention.h"

namespace thinkrec::kernels {

/// Neighbouring keys of one row.
struct KeyPiece {
  std::int64_t token, count;
  std::int64_t strip;   ///< its first
  std::int64_t before;  ///< how many of the block's keys come before
};

/// Neighbouring queries of one row, which are answered together. For each key/value head they are queries * group lines: query by query, and
/// of a query the heads that share the key/value head.
struct AttentionBlock {
  std::int64_t first, queries;     ///< into q
  std::vector<KeyPiece> pieces;    ///< of the rows before, then of the own row up to the last query
  std::int64_t keys = 0;           ///< in all
  std::vector<std::int64_t> seen;  ///< [queries] how many of the keys a query sees, ascending
};

/// Rows that share tokens. Gradients of keys are summed within a tree only.
struct AttentionTree {
  std::int64_t token, count;
  std::vector<AttentionBlock> blocks;
};

/// Keys lie in strips; each row begins a new one.
struct AttentionPlan {
  std::int64_t group;        ///< query heads that share a key/value head
  std::int64_t query_block;  ///< most queries of a block
  std::int64_t tokens;
  std::int64_t most_keys = 0;    ///< of a block
  std::int64_t most_tokens = 0;  ///< of a tree
  std::int64_t strips = 0;
  std::vector<std::int64_t> first_strip;  ///< [rows]
  std::vector<AttentionTree> trees;
};

/// Blocks of at most `lines` lines, pieces of at most `piece` keys, a multiple of `strip`. Checks what it is given.
AttentionPlan plan_attention(const Attention& asked, std::int64_t lines, std::int64_t piece, std::int64_t strip);

}  // namespace thinkrec::kernels
