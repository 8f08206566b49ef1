#pragma once
// Data of the size and shape of the paper's, for measuring and testing where the real ones are not at hand.

#include "data/raw_data.h"

namespace thinkrec {

/// What a synthetic data set is like: the paper's Table 1, and the times of its splits.
struct SyntheticShape {
  const char* name;
  std::int64_t users, items;
  std::array<std::int64_t, 3> rows;   ///< of the splits
  double sigma_over_mu;               ///< of train rows per user with train rows
  double positive;                    ///< share of rows with label 1
  double cold_users;                  ///< share of users without train rows
  double late_users;                  ///< share of the others that have rows after training
  std::array<std::int64_t, 4> times;  ///< begin of train, valid and test, and the end; seconds since 1970
  std::int64_t time_step;             ///< timestamps are multiples of it
  const char *noun_singular, *noun_plural;
};
/// "yelp" or "book"; kConfig naming them otherwise.
const SyntheticShape& find_shape(const std::string& name);

/// Counts of at least 1 that sum to `total`, growing, whose sample deviation is `sigma_over_mu` times their mean as nearly as
/// whole numbers allow: quantiles of a log-logistic distribution.
std::vector<std::int64_t> long_tailed_counts(std::int64_t count, std::int64_t total, double sigma_over_mu);

/// Users, items and rows of PrepareOptions::like times scale, from the seed alone. Items have a genre, a quality and traits, which
/// titles and keywords tell of; users have tastes for genres and traits, and a bias. Users meet what they have a taste for, popular
/// items first, and the label is drawn with a logit that sums taste, quality and bias. kConfig for a scale that leaves too little.
RawData make_synthetic(const PrepareOptions& options);

}  // namespace thinkrec
