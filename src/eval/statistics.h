#pragma once
// What counts alone say about a user and an item: the features of the logistic baseline, and statistics for the slots of prompts.
// Items are counted on the train rows, users in the history before the row, with its labels.

#include <array>
#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

/// How many imagined rows at the global like rate each rate is mixed with.
struct RatePriors {
  double item = 5;     ///< like rate of the item over the train rows
  double recent = 1;   ///< like rate of the user's last 10 interactions before the row
  double history = 5;  ///< like rate of all the user's interactions before the row
};

class RowStatistics {
 public:
  /// Log odds of the item's rate, the recent rate and the history's rate, and log(1 + train rows of the item).
  static constexpr std::size_t kCount = 4;
  using Values = std::array<double, kCount>;

  /// kBadData without train rows; kConfig for a prior that is not above 0.
  explicit RowStatistics(const Dataset& dataset, const RatePriors& priors = {});

  /// A train row sees its item's counts without itself. kInternal for a row outside the data set.
  Values of_row(std::int64_t row) const;
  /// An item for the user whose history ends before interaction index `before`.
  Values of_candidate(std::int64_t user, std::int64_t before, std::int32_t item) const;
  /// Each value z-scored by the train rows' mean and deviation.
  Values standard(Values values) const;

  /// (likes + prior * global) / (n + prior) of the row's item over all train rows, its own among them.
  double item_rate(std::int64_t row, double prior) const;

 private:
  double smoothed(std::int64_t likes, std::int64_t rows, double prior) const;
  double history_rate(std::int64_t begin, std::int64_t end, double prior) const;
  Values values(std::int64_t item_likes, std::int64_t item_rows, std::int64_t history_begin, std::int64_t history_end) const;

  const Dataset& dataset_;
  RatePriors priors_;
  std::vector<std::int64_t> item_rows_, item_likes_, likes_before_;
  std::vector<bool> in_train_;
  double global_ = 0;
  Values mean_{}, deviation_{};
};

}  // namespace thinkrec
