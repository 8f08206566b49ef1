#pragma once
// What a dry run finds out, as plain values: dry_run.cpp fills them in, dry_run_report.cpp shows them.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/layer_probe.h"
#include "train/step_plan.h"

namespace thinkrec {

/// Named shares of a rank's memory, in bytes.
struct MemoryParts {
  std::vector<std::pair<std::string, std::int64_t>> of;

  void add(const std::string& name, std::int64_t bytes) {
    if (bytes > 0) of.emplace_back(name, bytes);
  }
  std::int64_t sum() const {
    std::int64_t all = 0;
    for (const auto& [name, bytes] : of) all += bytes;
    return all;
  }
};

/// One phase, or the experts of one team.
struct PlannedPhase {
  std::string stage;
  int ranks = 1;
  bool expert = false;
  int lanes = 1;  ///< experts at once
  TeamPlan plan;
  PassKind kind;
  MemoryParts memory;
  double seconds = 0, validation_seconds = 0;
  std::int64_t trained = 0;    ///< values of one lane
  std::int64_t step_rows = 0;  ///< of all lanes
  std::int64_t most_micro_tokens =
      0;  ///< with which it fits the bound, less than its longest row when none does; 0: there is no bound

  double total_seconds() const { return seconds + validation_seconds; }
  std::int64_t checkpoint_bytes() const { return 4 * trained * 4; }  ///< fp32 values, two moments and the best values
};

/// Tokens of a template's prompts, of rows spread evenly over the train rows.
struct PromptLengths {
  std::string name;
  std::size_t rows = 0;
  double mean = 0;
  std::int64_t p5 = 0, median = 0, p95 = 0, p99 = 0, longest = 0;
  bool in_pieces = false;
};

struct DryRunPlan {
  struct {
    std::string path, name;
    std::int64_t users = 0, items = 0, reasons = 0;
    std::array<std::int64_t, 3> rows{};  ///< train, valid, test
    std::int64_t trained_rows = 0;       ///< of the train rows, those that the recipe samples
  } data;
  std::int64_t tokenizer_tokens = 0;
  struct {
    std::string path;
    LlamaConfig config;
    bool at_hand = false;  ///< its weights, not the shapes alone
    std::int64_t value_bytes = 4;
  } model;
  std::vector<PromptLengths> prompts;

  int ranks = 1, ranks_per_node = 1, threads = 1;
  double sharing = 1;            ///< threads on a core
  const GpuKind* gpu = nullptr;  ///< none: on CPUs
  double mfu = 0;                ///< of the GPU
  LayerRate layer;               ///< of the CPU
  double rate = 0;               ///< FLOP/s of a rank

  MemoryParts encoder_memory;
  std::vector<PlannedPhase> phases;
  double bound_bytes = 0;  ///< of a rank; 0: none
  std::int64_t base_bytes = 0;
  std::int64_t evaluated_rows = 0;
  double evaluation_seconds = 0;
  std::int64_t disk_bytes = 0, largest_checkpoint = 0, free_bytes = -1;  ///< -1: not known
  std::vector<std::string> problems;

  std::int64_t weight_bytes() const { return weight_count(model.config) * 4; }
  /// The phase whose ranks need most; none without phases.
  const PlannedPhase* fullest() const {
    const auto found = std::max_element(phases.begin(), phases.end(), [](const PlannedPhase& a, const PlannedPhase& b) {
      return a.memory.sum() < b.memory.sum();
    });
    return found == phases.end() ? nullptr : &*found;
  }
  std::int64_t peak_bytes() const { return std::max(encoder_memory.sum(), fullest() == nullptr ? 0 : fullest()->memory.sum()); }
  /// On CPUs: the ranks of a node share one copy of the weights.
  std::int64_t node_bytes() const { return weight_bytes() + ranks_per_node * (peak_bytes() - weight_bytes()); }
  double training_seconds() const {
    double sum = 0, slowest_team = 0;
    for (const PlannedPhase& phase : phases) {
      if (phase.expert) {
        slowest_team = std::max(slowest_team, phase.total_seconds());  // teams work side by side
      } else {
        sum += phase.total_seconds();
      }
    }
    return sum + slowest_team;
  }
};

}  // namespace thinkrec
