#pragma once
// A moment of a user's history: what an encoder turns into a vector.

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

/// A user, and how many of their interactions (in time order) are known.
struct Moment {
  std::int32_t user = 0;
  std::int64_t place = 0;
  auto operator<=>(const Moment&) const = default;
};

/// Just before each of these rows. kInternal for a row outside the data set.
std::vector<Moment> moments_before(const Dataset& dataset, std::span<const std::int64_t> rows);
/// For every user, just before their first test row (after their last interaction when they have none).
std::vector<Moment> moments_before_test(const Dataset& dataset);
/// Positions of `moments` ordered by user and place.
std::vector<std::int64_t> order_of_moments(std::span<const Moment> moments);

}  // namespace thinkrec
