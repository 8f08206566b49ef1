#pragma once
// The next interaction of a user, not made yet: what the recommender asks about.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

/// A copy of the data set in which `user` has one more interaction at the end, without meaning of its own, and its index: its history is
/// everything the user has done. Splits and reasons point to the same interactions as before.
std::pair<Dataset, std::int64_t> with_open_row(const Dataset& dataset, std::int64_t user);

/// The same for several users, ascending and each once: a row of each one's own, in their order.
std::pair<Dataset, std::vector<std::int64_t>> with_open_rows(const Dataset& dataset, std::span<const std::int64_t> users);

}  // namespace thinkrec
