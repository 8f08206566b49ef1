#pragma once
// The comparison that a run ends with: counting baselines, encoder, untrained LM, global adapter, experts and the per-user fusion.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/recently_used.h"
#include "eval/bootstrap.h"
#include "eval/metrics.h"
#include "experts/gate.h"
#include "train/stages.h"

namespace thinkrec {

struct ModelScores {
  std::string name;  ///< "item_mean", "logistic", "encoder", "untrained", "global", "expert:K", "fused", "calibrated"
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

/// Owns the adapters of users: the global one, an expert, or the exact weighted sum of experts, made when asked for. The sums of the last
/// `kept` users stay: those of all users of a large data set would not fit into memory.
class FusedAdapters {
 public:
  FusedAdapters(const Session& session, const RunState& state, std::size_t kept = 4);
  const Gate& gate(std::int32_t user);
  /// The adapter that serves the user; valid until `kept` other users were asked for.
  const LoraAdapter& of(std::int32_t user);

 private:
  const Session& session_;
  const RunState& state_;
  at::Tensor vectors_;
  std::map<std::int32_t, Gate> gates_;
  RecentlyUsed<std::int32_t, LoraAdapter> merged_;
};

/// Collective over the session's world; every rank gets the same numbers. `all_rows` ignores the recipe's sample.
Evaluation evaluate(const Session& session, const RunState& state, Split split, bool all_rows);

/// row,user,item,label, then a column of scores for each model.
std::string scores_csv(const Session& session, const Evaluation& evaluation);

}  // namespace thinkrec
