#pragma once
// Scored rows, sorted once: what the metrics and every resample of the bootstrap are computed from. Internal to eval.

#include <cstdint>
#include <span>
#include <vector>

#include "eval/metrics.h"

namespace thinkrec {

/// NaN where the user does not take part in the mean.
struct UserMetrics {
  double auc, ndcg, map;
};

class UserTable {
 public:
  /// Errors as ranking_metrics.
  UserTable(const ScoredRows& rows, int k);

  std::int64_t users() const { return static_cast<std::int64_t>(of_user_.size()); }
  std::int64_t rows() const { return static_cast<std::int64_t>(label_.size()); }

  /// The metrics when user u, in ascending order of ids, counts weight[u] >= 0 times, each time as a user of its own.
  /// O(rows), nothing is sorted. `weight` has users() elements. The counts of the result are those of the table, unweighted.
  RankingMetrics weighted(std::span<const std::int32_t> weight) const;

 private:
  double weighted_auc(std::span<const std::int32_t> weight) const;

  std::vector<UserMetrics> of_user_;
  // Rows in ascending order of score; a block of equal scores ends where last_of_block_ is 1.
  std::vector<std::int32_t> user_;
  std::vector<std::uint8_t> label_, last_of_block_;
  std::int64_t users_ranked_ = 0, users_uauc_ = 0;
};

}  // namespace thinkrec
