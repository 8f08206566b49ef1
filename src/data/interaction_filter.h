#pragma once
// Which raw interactions become those of the data set.

#include "data/raw_data.h"

namespace thinkrec {

/// Raw indices, in raw order, of the interactions inside the window, less duplicates where they are unwanted, whose user and item
/// then have enough of them: more than min_interactions, counted once; then, over and over, at least k_core.
std::vector<std::int64_t> kept_interactions(const RawData& raw, const PrepareOptions& options);

}  // namespace thinkrec
