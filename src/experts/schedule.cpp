#include "experts/schedule.h"

#include <algorithm>

#include "core/error.h"
#include "experts/balance.h"

namespace thinkrec {
namespace {

/// Ranks of each team. Giving one rank after another to the team that takes longest is optimal for the longest team.
std::vector<int> team_sizes(std::span<const std::int64_t> tokens, int ranks) {
  std::vector<int> size(tokens.size(), 1);
  const auto slower = [&](std::size_t a, std::size_t b) {  // tokens / size, compared without rounding
    const auto left = static_cast<__int128>(tokens[a]) * size[b], right = static_cast<__int128>(tokens[b]) * size[a];
    return left != right ? left > right : size[a] < size[b];
  };
  for (int left = ranks - static_cast<int>(tokens.size()); left > 0; --left) {
    std::size_t slowest = 0;
    for (std::size_t e = 1; e < tokens.size(); ++e) {
      if (slower(e, slowest)) slowest = e;
    }
    ++size[slowest];
  }
  return size;
}

}  // namespace

ExpertPlan plan_experts(std::span<const std::int64_t> tokens_per_expert, int ranks) {
  THINKREC_CHECK(ranks >= 1, "{} ranks", ranks);
  for (const std::int64_t tokens : tokens_per_expert) THINKREC_CHECK(tokens >= 0, "an expert of {} tokens", tokens);
  ExpertPlan plan;
  const std::size_t experts = tokens_per_expert.size();
  if (experts == 0) {
    plan.team_of_rank.assign(static_cast<std::size_t>(ranks), -1);
  } else if (static_cast<std::size_t>(ranks) >= experts) {
    const std::vector<int> size = team_sizes(tokens_per_expert, ranks);
    for (std::size_t e = 0; e < experts; ++e) {
      plan.experts_of_team.push_back({static_cast<int>(e)});
      plan.team_of_rank.insert(plan.team_of_rank.end(), static_cast<std::size_t>(size[e]), static_cast<int>(e));
    }
  } else {
    const std::vector<int> team = balance_rows(tokens_per_expert, ranks);
    plan.experts_of_team.resize(static_cast<std::size_t>(ranks));
    for (std::size_t e = 0; e < experts; ++e)
      plan.experts_of_team[static_cast<std::size_t>(team[e])].push_back(static_cast<int>(e));
    for (std::vector<int>& own : plan.experts_of_team) {
      std::stable_sort(own.begin(), own.end(), [&](int a, int b) {
        return tokens_per_expert[static_cast<std::size_t>(a)] > tokens_per_expert[static_cast<std::size_t>(b)];
      });
    }
    for (int rank = 0; rank < ranks; ++rank) plan.team_of_rank.push_back(rank);
  }
  return plan;
}

}  // namespace thinkrec
