#pragma once
// The steps of a phase as the trainer will take them on any number of ranks: the rows that are drawn, whose they are, and in which passes
// they go. Nothing is computed but lengths.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "train/forecast.h"
#include "train/phase.h"

namespace thinkrec {

/// Lengths of rows, each counted once.
class RowLengths {
 public:
  RowLengths(const PromptBuilder& prompts, CeSpan span) : prompts_(prompts), span_(span) {}
  PassShape recommendation(std::int64_t row);
  PassShape reason(const Reason& reason);
  /// The row itself, or that of its reason.
  EncodedRow made(std::int64_t row, const Reason* reason) const;

 private:
  PassShape shape(std::int64_t tokens, std::int64_t answer) const;

  const PromptBuilder& prompts_;
  CeSpan span_;
  std::unordered_map<std::int64_t, PassShape> known_, known_reasons_;
};

/// Phases that go together, as run_phases has them.
struct PlannedLane {
  PhaseConfig config;
  PhaseRows rows;
};

struct TeamSetting {
  int ranks = 1;
  std::int64_t micro_tokens = 2048;
  bool strict = false;
  std::int64_t rows_per_user = 1;
  bool share = false;  ///< rows of a user are computed together (StepConfig::share, on a CPU and not strict)
  double reason_share = 0.2;
  std::int64_t most_draws = 50000;  ///< steps beyond are taken to be like these
};

struct TeamPlan {
  std::int64_t steps = 0, planned = 0;  ///< of the phase; looked at, one by one
  double tokens = 0;                    ///< of all steps
  double step_tokens = 0;               ///< mean
  double balance = 1;                   ///< mean of (tokens / ranks) / (most tokens of a rank)
  int most_idle = 0;                    ///< ranks without a row in some step
  double passes = 0;                    ///< of the rank that has most, mean of the steps
  std::int64_t most_passes = 0;
  PassShape largest;  ///< the pass that holds most bytes
  PassBytes largest_bytes;
  std::int64_t longest_row = 0;          ///< tokens
  double flops = 0, critical_flops = 0;  ///< of all steps: all ranks; the rank that has most in each step
  std::int64_t cached_bytes = 0;         ///< hidden states that a rank keeps in the end, of the one that keeps most
};

/// `kind` is that of all lanes together (their adapters' ranks summed). The result depends on nothing but its arguments.
TeamPlan plan_team(const Recipe& recipe, const LlamaConfig& model, const PassKind& kind, std::span<const PlannedLane> lanes,
                   const TeamSetting& setting, std::span<const std::int32_t> user_of_row, RowLengths& lengths);

}  // namespace thinkrec
