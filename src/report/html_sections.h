#pragma once
// The sections of the report, each as HTML; a part that the run lacks becomes one sentence.

#include <string>

#include "report/run_data.h"

namespace thinkrec::html {

/// The best numbers as tiles, the table of metrics with its intervals, and the paired differences.
std::string results_section(const RunData& run);

/// A card per stage: losses, and validation metrics below them.
std::string training_section(const RunData& run);

/// Where the time went, stage by stage, which ranks trained which expert when, and how fast each stage was.
std::string time_section(const RunData& run);

/// How training scales over ranks, where launch/scaling.sh has measured it.
std::string scaling_section(const RunData& run);

/// Which adapters serve how many users, and how sure the gate is of them.
std::string gate_section(const RunData& run);

/// The groups of users on their map, and how far apart two are.
std::string groups_section(const RunData& run);

/// "item_mean" -> "Item mean", "expert:3" -> "Expert 3"; unknown names stay as they are (not escaped).
std::string model_label(const std::string& name);

/// "auc" -> "AUC", "ndcg@5" -> "NDCG@5".
std::string metric_label(const std::string& name);

}  // namespace thinkrec::html
