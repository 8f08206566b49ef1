#pragma once
// thinkrec_train --dry-run: what a run would do on so many ranks, found out by one process that trains nothing: data, tokenizer and model
// are opened, the steps are planned as the trainer takes them, and memory, time and disk are forecast.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/recipe.h"
#include "train/forecast.h"

namespace thinkrec {

struct DryRunSetting {
  int ranks = 1;
  int ranks_per_node = 0;  ///< 0: with GPUs 8 at most, else all
  std::string gpu;         ///< of gpu_kind; empty: the ranks compute on CPUs like this machine's
  double memory_gib = 0;   ///< bound of a rank; 0: the GPU's memory, none on CPUs
  double mfu = 0.4;        ///< share of a GPU's peak that a step is taken to reach
  std::string run_dir;     ///< where the disk is looked at; empty: the current folder
  std::set<std::string> stages;
};

struct DryRun {
  nlohmann::ordered_json json;        ///< all of it; sizes in bytes, times in seconds
  std::string text;                   ///< the same for people
  std::vector<std::string> problems;  ///< why the run would not work, each with its remedy
};

/// Errors of the recipe, data set, tokenizer and model as the training would give them. A model may be a config.json alone, or a folder with
/// nothing else: its weights are not needed.
DryRun dry_run(const Recipe& recipe, const DryRunSetting& setting);

/// Resident bytes of this process.
std::int64_t resident_bytes();

}  // namespace thinkrec
