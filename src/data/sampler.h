#pragma once
// Which rows a step takes: a pure function of (seed, step), the same for any number of ranks, with no state to save.

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

/// A permutation of 0 .. size-1 that is computed, not stored: a Feistel network keyed by (seed, stream, epoch), walked until it
/// lands inside the range (Black and Rogaway 2002, cycle walking).
std::int64_t permuted(std::int64_t index, std::int64_t size, std::uint64_t seed, std::uint64_t stream, std::uint64_t epoch);

/// One row of a step.
struct Draw {
  std::uint64_t number = 0;  ///< global sample counter: step * batch + place
  bool reason = false;
  std::int64_t index = 0;  ///< into the reason rows or into the recommendation rows
};

/// Draws the mix of the paper (section 3.2.2): a share of reason rows, spread evenly: of the first n draws, floor(n * share) are
/// reasons. Each source is a sequence of full shuffles, so that every row is seen once before any is seen twice.
class Sampler {
 public:
  /// A source may be empty; then all draws come from the other. Both empty: kBadData.
  Sampler(std::int64_t recommendations, std::int64_t reasons, double reason_share, std::int64_t batch, std::uint64_t seed);
  /// The same, but up to `together` recommendation rows of one user, neighbours in time, are drawn one after the other; the shuffles are of
  /// such blocks. `user` [recommendations] is each row's user.
  Sampler(std::span<const std::int32_t> user, std::int64_t together, std::int64_t reasons, double reason_share,
          std::int64_t batch, std::uint64_t seed);
  /// One thread at a time.
  std::vector<Draw> step(std::int64_t step) const;

 private:
  /// Index of the recommendation row that is drawn as the nth.
  std::int64_t recommendation(std::int64_t nth) const;

  struct Block {
    std::int64_t first, count;  ///< into order_
  };
  std::vector<std::int64_t> order_;  ///< rows by user; empty: no blocks
  std::vector<Block> blocks_;
  mutable std::int64_t epoch_ = -1;           ///< that the next two are of, worked out when it is asked for
  mutable std::vector<std::int64_t> drawn_;   ///< blocks in the order of the epoch
  mutable std::vector<std::int64_t> before_;  ///< rows before each of them
  std::int64_t recommendations_, reasons_, batch_;
  double share_;
  std::uint64_t seed_;
};

}  // namespace thinkrec
