#pragma once
// What a recipe says of its phases and its encoder, before anything is opened: the training, its dry run and --validate read it here.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/recipe.h"
#include "data/recipe_prompts.h"
#include "encoders/encoder_config.h"

namespace thinkrec {

struct PhaseConfig {
  std::string stage;   ///< in logs: "activate/main", "expert/0"
  std::string folder;  ///< under checkpoints/: "activate-0-main", "expert-0"
  std::int64_t steps = 0, batch = 8;
  double peak_rate = 1e-4, floor_rate = 8e-5;
  std::int64_t warmup = 200;
  double weight_decay = 1e-3, clip = 1;
  std::int64_t validate_every = 200;
  bool train_lora = true, train_projector = true, train_soft = false;
  std::int64_t first_layer = 0;
  std::int64_t cache_mb = 1024;
  std::uint64_t stream = 0;  ///< tells the seeds of phases apart
};

/// Reads the settings under `prefix` ("activate.phases.0." or "expert.").
PhaseConfig read_phase(const Recipe& recipe, const std::string& prefix);

/// A phase of the global stage; kConfig when it trains what its prompts do not have (recipe_conflicts finds that beforehand).
PhaseConfig activate_phase(const Recipe& recipe, std::int64_t index);
/// Lowest layer that the experts train, of a model of so many.
std::int64_t first_expert_layer(const Recipe& recipe, std::int64_t layers);
PhaseConfig expert_phase(const Recipe& recipe, std::int64_t layers, int expert);

/// The section encoder, for an encoder of this kind.
EncoderConfig encoder_config(const Recipe& recipe, const std::string& kind);

/// What makes the recipe of a run impossible though each value is allowed: a line each, with the remedy. Empty: the run can begin.
std::vector<std::string> recipe_conflicts(const Recipe& recipe);

/// Key of a phase's sampler.
std::uint64_t sampler_seed(const Recipe& recipe, const PhaseConfig& config);
/// Tokens that a phase reads: rows drawn times the mean length of some of its train rows, enough for an error of about 1 %.
std::int64_t expected_tokens(const PhaseConfig& config, std::span<const std::int64_t> train, const PromptBuilder& prompts);

}  // namespace thinkrec
