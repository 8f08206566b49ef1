#pragma once
// Which rows a step takes: a pure function of (seed, step), the same for any number of ranks, with no state to save.

#include <cstdint>
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
  std::vector<Draw> step(std::int64_t step) const;

 private:
  std::int64_t recommendations_, reasons_, batch_;
  double share_;
  std::uint64_t seed_;
};

}  // namespace thinkrec
