#include "experts/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "support/testing.h"

namespace thinkrec {
namespace {

using Tokens = std::vector<std::int64_t>;
using Teams = std::vector<std::vector<int>>;

/// The longest tokens / ranks over the teams.
double makespan(const Tokens& tokens, const ExpertPlan& plan) {
  double longest = 0;
  for (std::size_t team = 0; team < plan.experts_of_team.size(); ++team) {
    double sum = 0;
    for (const int expert : plan.experts_of_team[team]) sum += static_cast<double>(tokens[static_cast<std::size_t>(expert)]);
    const auto ranks = std::count(plan.team_of_rank.begin(), plan.team_of_rank.end(), static_cast<int>(team));
    longest = std::max(longest, sum / static_cast<double>(ranks));
  }
  return longest;
}

double lower_bound(const Tokens& tokens, int ranks) {
  return static_cast<double>(std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0})) / ranks;
}

TEST(PlanExperts, MoreRanksThanExperts) {
  const ExpertPlan plan = plan_experts(Tokens{100, 300}, 8);
  EXPECT_EQ(plan.experts_of_team, (Teams{{0}, {1}}));
  EXPECT_EQ(plan.team_of_rank, (std::vector<int>{0, 0, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(plan_experts(Tokens{5}, 3).team_of_rank, (std::vector<int>{0, 0, 0}));
  EXPECT_EQ(plan_experts(Tokens{0, 0}, 4).team_of_rank, (std::vector<int>{0, 0, 1, 1}));  // nothing to do, evenly
}

TEST(PlanExperts, MoreExpertsThanRanks) {
  const ExpertPlan plan = plan_experts(Tokens{3, 10, 4, 2, 5}, 2);
  EXPECT_EQ(plan.experts_of_team, (Teams{{1, 3}, {0, 2, 4}}));  // 10, 5; 4 and 3 to the second, 2 to the first
  EXPECT_EQ(plan.team_of_rank, (std::vector<int>{0, 1}));
  EXPECT_EQ(plan_experts(Tokens{1, 2, 3}, 1).experts_of_team, (Teams{{0, 1, 2}}));
}

TEST(PlanExperts, UnevenTeamsJoin) {
  const ExpertPlan two = plan_experts(Tokens{1, 1'000'000}, 2);
  EXPECT_EQ(two.experts_of_team, (Teams{{0, 1}}));
  EXPECT_EQ(two.team_of_rank, (std::vector<int>{0, 0}));
  const ExpertPlan three = plan_experts(Tokens{10, 10, 10}, 4);  // 2, 1 and 1 ranks; then all but one
  EXPECT_EQ(three.experts_of_team, (Teams{{0, 1, 2}}));
  const ExpertPlan four = plan_experts(Tokens{100, 100, 100, 61}, 4);  // the last joins the first, which leaves two alone
  EXPECT_EQ(four.experts_of_team.size(), 1U);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(plan_experts(Tokens{huge, huge / 2}, 3).team_of_rank, (std::vector<int>{0, 0, 1}));
}

TEST(PlanExperts, WithinFivePercentOfTheLowerBoundAndEveryRankServes) {
  std::mt19937_64 engine(3);
  const auto check = [](const Tokens& tokens) {
    for (int ranks = 1; ranks <= 64; ++ranks) {
      const ExpertPlan plan = plan_experts(tokens, ranks);
      ASSERT_EQ(plan.team_of_rank.size(), static_cast<std::size_t>(ranks));
      EXPECT_TRUE(std::is_sorted(plan.team_of_rank.begin(), plan.team_of_rank.end()));
      std::vector<int> seen(tokens.size(), 0);
      for (std::size_t team = 0; team < plan.experts_of_team.size(); ++team) {
        EXPECT_FALSE(plan.experts_of_team[team].empty());
        EXPECT_TRUE(std::is_sorted(plan.experts_of_team[team].begin(), plan.experts_of_team[team].end()));
        EXPECT_TRUE(std::count(plan.team_of_rank.begin(), plan.team_of_rank.end(), static_cast<int>(team)) > 0);
        for (const int expert : plan.experts_of_team[team]) ++seen.at(static_cast<std::size_t>(expert));
      }
      EXPECT_EQ(seen, std::vector<int>(tokens.size(), 1));
      EXPECT_LE(makespan(tokens, plan), (1.05 + 1e-12) * lower_bound(tokens, ranks)) << ranks << " ranks";
    }
  };
  for (int trial = 0; trial < 200; ++trial) {
    Tokens tokens(2 + engine() % 15);
    for (auto& own : tokens) own = 1 + static_cast<std::int64_t>(engine() % 200);
    check(tokens);
  }
  check(Tokens{29, 71});  // shares of ML1M's users in the paper's groups
  check(Tokens{293, 212, 260, 235});
}

TEST(PlanExperts, NoExperts) {
  const ExpertPlan plan = plan_experts(Tokens{}, 3);
  EXPECT_TRUE(plan.experts_of_team.empty());
  EXPECT_EQ(plan.team_of_rank, (std::vector<int>{-1, -1, -1}));
}

TEST(PlanExperts, Refuses) {
  testing::expect_error(ExitCode::kInternal, "0 ranks", [] { plan_experts(Tokens{1}, 0); });
  testing::expect_error(ExitCode::kInternal, "-4 tokens", [] { plan_experts(Tokens{1, -4}, 3); });
}

}  // namespace
}  // namespace thinkrec
