#pragma once
// A whole run: the stages in order, the evaluation at the end, and what is left in the run directory.

#include <string>

#include "train/evaluate.h"
#include "train/run_plan.h"
#include "train/stages.h"

namespace thinkrec {

/// Collective. Runs the plan; the table of the evaluation goes to standard output of rank 0. Error kStopped after a stop was asked for.
void run_stages(const Session& session, const RunPlan& plan);

/// Loads everything a finished run made; kNoInput naming the first unfinished stage.
RunState load_run(const Session& session);

/// Opens the session of an existing run directory by its recipe.yaml. kNoInput when there is none.
Session open_run(const std::string& run_dir, const std::vector<std::string>& sets, Collectives& world);

}  // namespace thinkrec
