#pragma once
// The figures of a data set: the row of the paper's Table 1, and what the rows of each split look like.

#include <array>
#include <cstdint>
#include <string>

#include "data/dataset.h"

namespace thinkrec {

struct SplitSummary {
  std::int64_t rows = 0, users = 0, items = 0;
  double positive = 0;        ///< share of rows with label 1
  double not_cold = 0;        ///< share of rows whose user and item both have train rows
  double median_history = 0;  ///< earlier interactions of the row's user
  std::int64_t empty_histories = 0;
  double short_histories = 0;  ///< share of rows with fewer than 10 earlier interactions
};

struct DatasetSummary {
  std::array<SplitSummary, 3> splits;
  std::int64_t users = 0, items = 0;  ///< counted; the paper's ML1M figures are table sizes, one more or larger
  double sigma_over_mu = 0;           ///< of train rows per user with train rows; sample standard deviation over mean
};

DatasetSummary summarize(const Dataset& dataset);

/// Table 1's row and the table of splits, as printed by thinkrec_prepare.
std::string summary_text(const Dataset& dataset, const DatasetSummary& summary);

/// The same for programs: {name, train, valid, test, users, items, sigma_over_mu}, one line.
std::string summary_json(const Dataset& dataset, const DatasetSummary& summary);

}  // namespace thinkrec
