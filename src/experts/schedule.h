#pragma once
// Experts onto ranks: they are trained at the same time, by teams of ranks in proportion to their tokens.

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

struct ExpertPlan {
  std::vector<std::vector<int>> experts_of_team;  ///< in the order of training: most tokens first
  std::vector<int> team_of_rank;  ///< neighbouring ranks form a team; -1: no team, only where there are no experts
};

/// tokens_per_expert[e] >= 0: the work of expert e.
/// ranks >= experts: a team for each expert, of at least one rank, such that the longest tokens / ranks is as short as can be.
/// ranks < experts: each rank is a team, experts go to the least loaded one, longest first (Graham 1969: within 4/3 of the
/// optimum). Ties go to the lower number. Error kInternal: ranks < 1 or negative tokens.
ExpertPlan plan_experts(std::span<const std::int64_t> tokens_per_expert, int ranks);

}  // namespace thinkrec
