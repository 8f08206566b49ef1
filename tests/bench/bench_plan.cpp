// How near the plan of experts onto ranks is to its lower bound, and how many teams it keeps apart: the figures of docs/scaling.md. One JSON
// line for each number of groups, of ranks, and way to draw sizes.   bench_plan [TRIALS]   default 400

#include <cstdio>

#include "bench/data_figures.h"
#include "core/error.h"
#include "core/options.h"

int main(int argc, char** argv) {
  using namespace thinkrec;
  using namespace thinkrec::figures;
  const auto trials = argc > 1 ? parse_integer(argv[1]) : std::optional<std::int64_t>(400);
  if (!trials || *trials < 1 || argc > 2) {
    std::fprintf(stderr, "bench_plan: error: usage: bench_plan [TRIALS], a number from 1\n");
    return static_cast<int>(ExitCode::kUsage);
  }
  std::mt19937_64 random(3);
  for (const GroupSizes sizes : {GroupSizes::kUniform, GroupSizes::kLongTailed}) {
    for (const int groups : {2, 3, 4, 6, 8, 12, 16}) {
      for (const int ranks : {1, 2, 4, 8, 16, 32, 64}) {
        double worst = 1, ratios = 0, teams = 0;
        for (std::int64_t trial = 0; trial < *trials; ++trial) {
          const auto tokens = group_tokens(random, static_cast<std::size_t>(groups), sizes);
          const ExpertPlan plan = plan_experts(tokens, ranks);
          const double ratio = makespan_over_bound(tokens, plan);
          worst = std::max(worst, ratio);
          ratios += ratio;
          teams += static_cast<double>(plan.experts_of_team.size());
        }
        const auto count = static_cast<double>(*trials);
        const char* name = sizes == GroupSizes::kUniform ? "uniform" : "long-tailed";
        std::printf("{\"sizes\":\"%s\",\"groups\":%d,\"ranks\":%d,\"trials\":%lld,\"worst\":%.4f,\"mean\":%.4f,\"teams\":%.2f}\n",
                    name, groups, ranks, static_cast<long long>(*trials), worst, ratios / count, teams / count);
      }
    }
  }
  return 0;
}
