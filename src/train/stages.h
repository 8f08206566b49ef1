#pragma once
// The stages of a run (encode, activate, group, experts): each picks up its checkpoints, so any can be run, resumed or replaced alone.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "encoders/encoder.h"
#include "experts/grouping.h"
#include "train/features.h"
#include "train/phase.h"
#include "train/session.h"

namespace thinkrec {

/// What is added to the language model's logit in the end (calibration.h); nothing without rows.
struct Calibration {
  struct Tried {
    double share, auc, uauc;
  };
  std::int64_t rows = 0, users = 0;  ///< of the valid split, that it was chosen on
  double share = 0;                  ///< of the encoder, in standard deviations
  double encoder_weight = 0;         ///< by which the encoder's logit is multiplied
  std::vector<Tried> tried;
};

/// What the stages have made so far. Later stages need the parts of the earlier ones.
struct RunState {
  std::unique_ptr<Encoder> encoder;
  std::unique_ptr<Encoder> group_encoder;  ///< with group.encoder; else null
  HeldOutScores held_out;                  ///< empty without features.statistics
  std::unique_ptr<FeatureBank> features;
  LoraAdapter global;
  Projector projector;
  Grouping grouping;
  std::vector<LoraAdapter> experts;  ///< lower layers shared with `global`, last expert.layers their own
  Calibration calibration;
  /// The encoder whose vectors are clustered and gate.
  const Encoder& grouping_encoder() const { return group_encoder ? *group_encoder : *encoder; }
  bool worked = false;   ///< the last stage was not found finished
  bool stopped = false;  ///< a stop was asked for; what follows must not run
};

/// train: run what is unfinished. load: only read; kNoInput naming the stage when one is unfinished.
enum class StageMode { kTrain, kLoad };

/// The vectors of slots for this data set: that of the session, or one with open rows beside the same train rows.
std::unique_ptr<FeatureBank> feature_bank(const RunState& state, const Dataset& dataset);

void encode_stage(const Session& session, StageMode mode, MetricsLog& log, RunState& state);
void activate_stage(const Session& session, StageMode mode, MetricsLog& log, RunState& state);
void group_stage(const Session& session, StageMode mode, MetricsLog& log, RunState& state);
/// "no", "only liked" or "only disliked" where AUC and UAUC of these rows are undefined, else empty.
std::string one_sided(const Dataset& dataset, const std::vector<std::int64_t>& rows);
/// The rows of one group, of these train and valid ones; without train rows or reasons of its own it draws from all, and without
/// valid rows of both labels it is selected on all.
PhaseRows group_rows(const Dataset& dataset, const Grouping& grouping, int group, const std::vector<std::int64_t>& train,
                     const std::vector<std::int64_t>& valid);
/// `only` names experts to train (empty: all); the others are neither trained nor loaded, and `state.experts` keeps the global there.
/// kUsage for one that there is not.
void expert_stage(const Session& session, StageMode mode, const std::set<int>& only, MetricsLog& log, RunState& state);

/// Lowest layer that the experts train.
std::int64_t first_expert_layer(const Session& session);
/// The prompts of the last activation phase: what the experts, the evaluation and the recommender use.
PromptConfig final_prompt(const Session& session);

}  // namespace thinkrec
