#pragma once
// One training phase: which rows, what trains, for how many steps, which parameters are kept. The global stage is a list of phases, an
// expert is one.

#include <cstdint>
#include <string>
#include <vector>

#include "report/metrics_log.h"
#include "report/progress.h"
#include "train/recipe_phases.h"
#include "train/session.h"
#include "train/step.h"

namespace thinkrec {

struct PhaseRows {
  std::vector<std::int64_t> train;  ///< interaction indices
  std::vector<const Reason*> reasons;
  std::vector<std::int64_t> valid;  ///< sorted by user
};

enum class PhaseEnd { kDone, kStopped };

/// A phase to be trained, and the adapter that it trains in place (layers >= first_layer).
struct PhaseLane {
  PhaseConfig config;
  PhaseRows rows;
  LoraAdapter* adapter = nullptr;
  std::int64_t from = 0;  ///< resume_points: the step of the checkpoint that it goes on from; 0: from the start
};

/// What a phase learns from beside that by which its checkpoints are told apart; stands in them.
struct PhaseSources {
  std::string encoder;  ///< hash of the encoder's parameters
  std::string reasons;  ///< Dataset::reasons_hash; empty where no reason row is drawn
};

/// Trains the phases over the ranks of `team`: one, with `projector` in place where it asks for that; or several at once, experts that
/// share their settings but for rows, folder and stream, whose rows share the batches. At the end each adapter holds the parameters of its
/// best validation (AUC / 4 + UAUC / 3, as the reference), as if it had been trained alone, up to the order of sums. A finished phase is
/// only loaded. kStopped: checkpoints of the current step were written. kBadData where a phase was trained on other sources so far; only a
/// warning where it is finished and its reasons are others.
PhaseEnd run_phases(const Session& session, Collectives& team, std::span<const PhaseLane> phases, const PhaseSources& sources,
                    const PromptBuilder& prompts, const FeatureBank* features, Projector& projector, MetricsLog& log,
                    bool show_progress);

/// A checkpoint that a phase goes on from; step 0: from the start.
struct ResumePoint {
  std::int64_t step = 0;
  bool validation_due = false;  ///< the run was stopped before the validation of that step, or in it
  bool done = false;            ///< the phase is finished
};

/// What phases go on from that train at once: the newest checkpoint of each; where a run ended between
/// their saves the newest that all have, as a phase that caught up alone would sum in another order than with the others. Steps of
/// several stay different only where one of them is no longer there.
std::vector<ResumePoint> resume_points(const Session& session, std::span<const PhaseConfig> phases);

}  // namespace thinkrec
