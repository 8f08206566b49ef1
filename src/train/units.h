#pragma once
// Rows of a step that are computed together, and on which rank.

#include <cstdint>
#include <span>
#include <vector>

#include "train/pack.h"

namespace thinkrec {

/// Rows in one pass of one rank: those of a group that begin alike, or one alone.
struct Unit {
  std::vector<std::int64_t> places;  ///< into the rows of the step
  std::int64_t tokens = 0;           ///< to compute
};

/// The places of all rows of `units`, in order.
std::vector<std::int64_t> places_of(std::span<const Unit> units);

/// Every row in one unit. Rows of a group are together where that saves tokens, as long as a unit has at most `limit` of them.
std::vector<Unit> make_units(std::span<const RowToPack> rows, std::int64_t limit);

/// The units of each of `ranks`, by tokens (balance_rows). Then, as long as that shortens the longest part by more than a hundredth, a unit of
/// it is split, whose rows the rank with the shortest takes over: their beginning is computed twice, but nobody waits. A function of its
/// arguments alone, so that every rank computes the same.
std::vector<std::vector<Unit>> share_units(std::vector<Unit> units, std::span<const RowToPack> rows, int ranks);

}  // namespace thinkrec
