#include "eval/metrics.h"

#include "eval/user_table.h"

namespace thinkrec {

RankingMetrics ranking_metrics(const ScoredRows& rows, int k) {
  const UserTable table(rows, k);
  return table.weighted(std::vector<std::int32_t>(static_cast<std::size_t>(table.users()), 1));
}

}  // namespace thinkrec
