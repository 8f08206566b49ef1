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

constexpr double kUneven = 1.05;

struct Team {
  std::vector<int> experts;
  int ranks = 0;
  std::int64_t tokens = 0;
  double time() const { return static_cast<double>(tokens) / ranks; }
};

std::vector<Team> smallest_teams(std::span<const std::int64_t> tokens, int ranks) {
  std::vector<Team> teams;
  if (static_cast<std::size_t>(ranks) >= tokens.size()) {
    const std::vector<int> size = team_sizes(tokens, ranks);
    for (std::size_t e = 0; e < tokens.size(); ++e) teams.push_back({{static_cast<int>(e)}, size[e], tokens[e]});
    return teams;
  }
  const std::vector<int> team = balance_rows(tokens, ranks);
  teams.assign(static_cast<std::size_t>(ranks), {{}, 1, 0});
  for (std::size_t e = 0; e < tokens.size(); ++e) {
    Team& own = teams[static_cast<std::size_t>(team[e])];
    own.experts.push_back(static_cast<int>(e));
    own.tokens += tokens[e];
  }
  return teams;
}

}  // namespace

ExpertPlan plan_experts(std::span<const std::int64_t> tokens_per_expert, int ranks) {
  THINKREC_CHECK(ranks >= 1, "{} ranks", ranks);
  double all = 0;
  for (const std::int64_t tokens : tokens_per_expert) {
    THINKREC_CHECK(tokens >= 0, "an expert of {} tokens", tokens);
    all += static_cast<double>(tokens);
  }
  ExpertPlan plan;
  if (tokens_per_expert.empty()) {
    plan.team_of_rank.assign(static_cast<std::size_t>(ranks), -1);
    return plan;
  }
  std::vector<Team> teams = smallest_teams(tokens_per_expert, ranks);
  const auto sooner = [](const Team& a, const Team& b) { return a.time() < b.time(); };
  while (teams.size() > 1) {
    const auto slowest = std::max_element(teams.begin(), teams.end(), sooner);
    if (slowest->time() <= kUneven * all / ranks) break;
    const auto fastest = std::min_element(teams.begin(), teams.end(), sooner);
    const auto [into, from] = std::minmax(slowest, fastest);
    into->experts.insert(into->experts.end(), from->experts.begin(), from->experts.end());
    into->ranks += from->ranks;
    into->tokens += from->tokens;
    teams.erase(from);
  }
  for (Team& team : teams) {
    std::sort(team.experts.begin(), team.experts.end());
    plan.team_of_rank.insert(plan.team_of_rank.end(), static_cast<std::size_t>(team.ranks),
                             static_cast<int>(plan.experts_of_team.size()));
    plan.experts_of_team.push_back(std::move(team.experts));
  }
  return plan;
}

}  // namespace thinkrec
