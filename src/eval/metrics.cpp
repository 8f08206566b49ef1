#include "eval/metrics.h"

#include <cmath>

#include "eval/user_table.h"

namespace thinkrec {

RankingMetrics ranking_metrics(const ScoredRows& rows, int k) {
  const UserTable table(rows, k);
  return table.weighted(std::vector<std::int32_t>(static_cast<std::size_t>(table.users()), 1));
}

double selection_score(const RankingMetrics& metrics) {
  const auto or_half = [](double value) { return std::isfinite(value) ? value : 0.5; };
  return or_half(metrics.auc) / 4 + or_half(metrics.uauc) / 3;
}

}  // namespace thinkrec
