#pragma once
// Counting baselines: what a recommender reaches with nothing but counts. On MovieLens-1M they equal the paper's row, so no
// model's numbers mean much without them. Fitted on the train split alone; histories are those of the prompt, with their labels.

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "eval/statistics.h"

namespace thinkrec {

/// Smoothed like rate of each row's item over the train rows: (likes + prior * global) / (n + prior), where global is the like
/// rate of all train rows. `rows` are interaction indices of any split; a train row's own label is part of its item's rate.
/// Error: kConfig for prior <= 0, kBadData without train rows, kInternal for a row outside the data set.
std::vector<double> item_mean_scores(const Dataset& dataset, std::span<const std::int64_t> rows, double prior = 5);

/// Probability of a like from a logistic regression on the z-scored values of RowStatistics, fitted on the train rows; the ridge of
/// 1e-6 is there only so that a minimum always exists. Errors as item_mean_scores, for any of the priors.
std::vector<double> logistic_scores(const Dataset& dataset, std::span<const std::int64_t> rows, const RatePriors& priors = {});

}  // namespace thinkrec
