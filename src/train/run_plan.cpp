#include "train/run_plan.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/error.h"
#include "core/joined.h"
#include "core/options.h"

namespace thinkrec {

RunPlan read_run_plan(const std::string& stages, const std::string& experts) {
  RunPlan plan;
  const std::vector<std::string> names(std::begin(kStageNames), std::end(kStageNames));
  for (const std::string& stage : split_list(stages)) {
    if (std::find(names.begin(), names.end(), stage) == names.end()) {
      fail(ExitCode::kUsage, "--stages: there is no stage '{}'{}; the stages are {}", stage, suggestion(stage, names),
           joined(names, ", "));
    }
    plan.stages.insert(stage);
  }
  for (const std::string& expert : split_list(experts)) {
    const auto number = parse_integer(expert);
    if (!number || *number < 0 || *number > 1024) fail(ExitCode::kUsage, "--experts: '{}' is not the number of an expert", expert);
    plan.experts.insert(static_cast<int>(*number));
  }
  if (!plan.experts.empty() && plan.stages.contains("evaluate"))
    fail(ExitCode::kUsage, "--experts trains some experts only; leave evaluate out of --stages");
  return plan;
}

}  // namespace thinkrec
