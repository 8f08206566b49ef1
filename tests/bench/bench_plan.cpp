// How near the plan of experts onto ranks is to its lower bound, and how many teams it keeps apart: the figures of docs/scaling.md. One JSON
// line for each number of groups, of ranks, and way to draw sizes.   bench_plan [TRIALS]   default 400
// bench_plan --balance RANKS ROWS STEPS: the tokens that each rank computes in each step, one JSON list a step: ROWS rows a rank of the
// yardstick's lengths, shared out as the trainer does.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "bench/data_figures.h"
#include "core/error.h"
#include "core/options.h"

namespace {

void print_balance(std::int64_t ranks, std::int64_t rows, std::int64_t steps) {
  std::mt19937_64 random(2);
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto tokens = thinkrec::figures::yardstick_lengths(static_cast<std::size_t>(rows * ranks), random);
    std::vector<std::int64_t> load(static_cast<std::size_t>(ranks));
    const std::vector<int> owner = thinkrec::balance_rows(tokens, static_cast<int>(ranks));
    for (std::size_t row = 0; row < tokens.size(); ++row) load[static_cast<std::size_t>(owner[row])] += tokens[row];
    std::puts(thinkrec::figures::Json(load).dump().c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace thinkrec;
  using namespace thinkrec::figures;
  if (argc == 5 && std::string_view(argv[1]) == "--balance") {
    const auto ranks = parse_integer(argv[2]), rows = parse_integer(argv[3]), steps = parse_integer(argv[4]);
    if (ranks && rows && steps && *ranks >= 1 && *ranks <= 100000 && *rows >= 1 && *rows <= 1000 && *steps >= 1) {
      print_balance(*ranks, *rows, *steps);
      return 0;
    }
  }
  const auto trials = argc > 1 ? parse_integer(argv[1]) : std::optional<std::int64_t>(400);
  if (!trials || *trials < 1 || argc > 2) {
    std::fprintf(stderr, "bench_plan: error: usage: bench_plan [TRIALS], a number from 1, or --balance RANKS ROWS STEPS\n");
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
