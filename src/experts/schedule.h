#pragma once
// Experts onto ranks: they are trained at the same time, by teams of ranks in proportion to their tokens. A team may have several
// experts, whose rows then share its batches.

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

struct ExpertPlan {
  std::vector<std::vector<int>> experts_of_team;  ///< trained at once
  std::vector<int> team_of_rank;  ///< neighbouring ranks form a team; -1: no team, only where there are no experts
};

/// tokens_per_expert[e] >= 0: the work of expert e. The longest tokens / ranks of a team is within 5 % of all tokens / all ranks.
/// It begins with the smallest teams: with ranks >= experts one for each expert, its ranks given one by one to the team that takes
/// longest; else one for each rank, experts going to the least loaded, longest first (Graham 1969). While that is too uneven, the team
/// that takes longest joins the one that is done first. Ties go to the lower number. Error kInternal: ranks < 1 or negative tokens.
ExpertPlan plan_experts(std::span<const std::int64_t> tokens_per_expert, int ranks);

}  // namespace thinkrec
