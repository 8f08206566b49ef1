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
};

/// Trains the phases over the ranks of `team`: one, with `projector` in place where it asks for that; or several at once, experts that
/// share their settings but for rows, folder and stream, whose rows share the batches. At the end each adapter holds the parameters of its
/// best validation (AUC / 4 + UAUC / 3, as the reference), as if it had been trained alone. Resumes from the newest checkpoint of each
/// phase; a finished one is only loaded. kStopped: checkpoints of the current step were written.
PhaseEnd run_phases(const Session& session, Collectives& team, std::span<const PhaseLane> phases, const PromptBuilder& prompts,
                    const FeatureBank* features, Projector& projector, MetricsLog& log, bool show_progress);

/// Step of the newest checkpoint of a phase (0: none), for rewinding logs.
std::int64_t resume_step(const Session& session, const PhaseConfig& config);

}  // namespace thinkrec
