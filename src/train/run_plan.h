#pragma once
// Which stages and experts a run is asked for. Without libtorch: thinkrec_train --validate reads it, too.

#include <set>
#include <string>

namespace thinkrec {

inline constexpr const char* kStageNames[] = {"encode", "activate", "group", "expert", "evaluate"};

struct RunPlan {
  std::set<std::string> stages;  ///< which to run; the others are loaded when a later one needs them
  std::set<int> experts;         ///< of the expert stage; empty: all
};

/// From --stages and --experts, lists with commas; kUsage naming what is wrong.
RunPlan read_run_plan(const std::string& stages, const std::string& experts);

}  // namespace thinkrec
