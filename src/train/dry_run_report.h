#pragma once
// A dry run's findings, for programs and for people.

#include <nlohmann/json.hpp>
#include <string>

#include "train/dry_run_plan.h"

namespace thinkrec {

/// All of it; sizes in bytes, times in seconds.
nlohmann::ordered_json dry_run_json(const DryRunPlan& plan);
std::string dry_run_text(const DryRunPlan& plan);

/// "512.0 MiB", "10.2 GiB".
std::string memory_text(double bytes);

}  // namespace thinkrec
