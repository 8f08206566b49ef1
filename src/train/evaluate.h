#pragma once
// The comparison that a run ends with: counting baselines, encoder, untrained LM, global adapter, experts and the per-user fusion.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/bootstrap.h"
#include "eval/metrics.h"
#include "experts/gate.h"
#include "train/stages.h"

namespace thinkrec {

struct ModelScores {
  std::string name;  ///< "item_mean", "logistic", "encoder", "untrained", "global", "expert:K", "fused"
  std::vector<double> score;
  RankingMetrics metrics;
  MetricIntervals intervals;
};

struct Evaluation {
  std::vector<std::int64_t> rows;  ///< interaction indices, sorted by user, then time
  std::vector<std::int32_t> user;
  std::vector<std::uint8_t> label;
  std::vector<ModelScores> models;
  nlohmann::ordered_json json;  ///< the contract of thinkrec_eval --json
  std::string table;            ///< for the terminal
};

/// The gate's decision for one user (paper, Eq. 8-10).
Gate gate_of_user(const Session& session, const RunState& state, const at::Tensor& group_vectors, std::int32_t user);

/// Owns the adapters of users: the global one, an expert, or the exact weighted sum of experts, made when first asked for.
class FusedAdapters {
 public:
  FusedAdapters(const Session& session, const RunState& state);
  const Gate& gate(std::int32_t user);
  /// The adapter that serves the user; valid as long as this object.
  const LoraAdapter& of(std::int32_t user);
  /// Forgets the sums of experts when there are more than `most`; references from of() to them end.
  void trim(std::size_t most) {
    if (merged_.size() > most) merged_.clear();
  }

 private:
  const Session& session_;
  const RunState& state_;
  at::Tensor vectors_;
  std::map<std::int32_t, Gate> gates_;
  std::map<std::int32_t, LoraAdapter> merged_;
};

/// Collective over the session's world; every rank gets the same numbers. `all_rows` ignores the recipe's sample.
Evaluation evaluate(const Session& session, const RunState& state, Split split, bool all_rows);

/// row,user,item,label, then a column of scores for each model.
std::string scores_csv(const Session& session, const Evaluation& evaluation);

}  // namespace thinkrec
