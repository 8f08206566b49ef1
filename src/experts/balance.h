#pragma once
// Longest processing time first: work handed out by size, so that no rank waits long for another.

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

/// Owner of each row, 0 .. ranks - 1: longest row first, each to the rank with the fewest tokens so far; ties by row, then by the
/// fewest rows, then by rank. A function of (tokens, ranks) alone, so that every rank computes the same without a word.
/// Error kInternal: ranks < 1 or negative tokens.
std::vector<int> balance_rows(std::span<const std::int64_t> tokens, int ranks);

}  // namespace thinkrec
