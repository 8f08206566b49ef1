#pragma once
// Rows packed for the model: one after the other, or, where rows begin alike, as a tree that holds what they share once.

#include <cstdint>
#include <span>
#include <vector>

#include "data/prompt.h"
#include "model/batch.h"

namespace thinkrec {

struct RowToPack {
  const EncodedRow* row = nullptr;
  std::int64_t length = 0;   ///< its first tokens that are fed to the model
  std::uint64_t sample = 0;  ///< keys the dropout
  std::int64_t group = -1;   ///< only rows of one group share, and only within their prompts; -1: with none
};

/// Rows of the pack are segments of the tree: what some rows of a group share, or what a row has for itself. A token stands in the same
/// position, behind the same tokens, as it would in its row alone: values and gradients are those of separate rows, up to rounding. With
/// dropout, what is shared is dropped alike for all, by the sample of the first of its rows.
struct RowPack {
  struct Segment {
    std::size_t row;     ///< the first, in the order given, of the rows that it is part of
    std::int64_t first;  ///< its position there
  };
  PackedBatch packed;
  std::vector<FeatureRef> slots;  ///< of the whole pack
  std::vector<Segment> segments;  ///< [packed.rows()]
  /// For each row the segments it is made of, first to last.
  std::vector<std::vector<std::int64_t>> parts;

  /// Where in the pack a row's token stands.
  std::int64_t place(std::size_t row, std::int64_t position) const;
};

/// Rows keep their order but within a group, whose segments stand together where its first row does.
RowPack pack_rows(std::span<const RowToPack> rows);
/// The same for one row that shares with none.
RowPack pack_row(const EncodedRow& row, std::int64_t length);

/// Tokens that such a pack of one group would have.
std::int64_t shared_length(std::span<const RowToPack> group);

}  // namespace thinkrec
