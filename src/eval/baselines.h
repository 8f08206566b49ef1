#pragma once
// Counting baselines: what a recommender reaches with nothing but counts. On MovieLens-1M they equal the paper's row, so no
// model's numbers mean much without them. Fitted on the train split alone; histories are those of the prompt, with their labels.

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

/// Smoothed like rate of each row's item over the train rows: (likes + prior * global) / (n + prior), where global is the like
/// rate of all train rows. `rows` are interaction indices of any split; a train row's own label is part of its item's rate.
/// Error: kConfig for prior <= 0, kBadData without train rows, kInternal for a row outside the data set.
std::vector<double> item_mean_scores(const Dataset& dataset, std::span<const std::int64_t> rows, double prior = 5);

/// How many imagined rows at the global like rate each rate of the logistic baseline is mixed with.
struct LogisticPriors {
  double item = 5;     ///< like rate of the item over the train rows
  double recent = 1;   ///< like rate of the user's last 10 interactions before the row
  double history = 5;  ///< like rate of all the user's interactions before the row
};

/// Probability of a like from a logistic regression on 4 features: the log odds of the three rates above and log(1 + train rows
/// of the item). Train rows, here and in `rows`, see their item's counts without themselves. Features are z-scored on the train
/// rows; the ridge of 1e-6 is there only so that a minimum always exists. Errors as item_mean_scores, for any of the priors.
std::vector<double> logistic_scores(const Dataset& dataset, std::span<const std::int64_t> rows,
                                    const LogisticPriors& priors = {});

}  // namespace thinkrec
