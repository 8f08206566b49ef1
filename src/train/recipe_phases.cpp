#include "train/recipe_phases.h"

#include <algorithm>

#include "core/error.h"

namespace thinkrec {

PhaseConfig read_phase(const Recipe& recipe, const std::string& prefix) {
  PhaseConfig config;
  config.steps = recipe.integer(prefix + "steps");
  config.batch = recipe.integer(prefix + "batch");
  config.peak_rate = recipe.real(prefix + "learning_rate");
  config.floor_rate = recipe.real(prefix + "min_learning_rate");
  config.warmup = recipe.integer(prefix + "warmup");
  config.weight_decay = recipe.real(prefix + "weight_decay");
  config.clip = recipe.real(prefix + "clip");
  config.validate_every = recipe.integer(prefix + "validate_every");
  return config;
}

PhaseConfig activate_phase(const Recipe& recipe, std::int64_t index) {
  const std::string prefix = fmt::format("activate.phases.{}.", index);
  PhaseConfig config = read_phase(recipe, prefix);
  const std::string name = recipe.text(prefix + "name"), train = recipe.text(prefix + "train");
  config.stage = "activate/" + name;
  config.folder = fmt::format("activate-{}-{}", index, name);
  const std::string prompt = prompt_template(phase_template(recipe, index));
  config.train_lora = train == "lora" || train == "both" || train == "lora+soft";
  config.train_projector = train == "projector" || train == "both";
  config.train_soft = train == "soft" || train == "lora+soft";
  config.stream = static_cast<std::uint64_t>(index);
  if (config.train_projector && !template_has_features(prompt)) {
    fail(ExitCode::kConfig, "phase '{}' trains the projector, but its template '{}' has no features", name,
         phase_template(recipe, index));
  }
  if (config.train_soft && soft_tokens(prompt) == 0) {
    fail(ExitCode::kConfig, "phase '{}' trains learnt tokens, but its template '{}' has none", name,
         phase_template(recipe, index));
  }
  return config;
}

std::int64_t first_expert_layer(const Recipe& recipe, std::int64_t layers) {
  return std::max<std::int64_t>(0, layers - recipe.integer("expert.layers"));
}

PhaseConfig expert_phase(const Recipe& recipe, std::int64_t layers, int expert) {
  PhaseConfig config = read_phase(recipe, "expert.");
  config.stage = fmt::format("expert/{}", expert);
  config.folder = fmt::format("expert-{}", expert);
  config.train_projector = false;
  config.first_layer = first_expert_layer(recipe, layers);
  config.cache_mb = recipe.integer("expert.cache_mb");
  config.stream = 100 + static_cast<std::uint64_t>(expert);
  return config;
}

std::uint64_t sampler_seed(const Recipe& recipe, const PhaseConfig& config) {
  return static_cast<std::uint64_t>(recipe.integer("run.seed")) + 1000 * (config.stream + 1);
}

std::int64_t expected_tokens(const PhaseConfig& config, std::span<const std::int64_t> train, const PromptBuilder& prompts) {
  constexpr std::size_t kSample = 4096;
  std::int64_t sum = 0, count = 0;
  const std::size_t stride = std::max<std::size_t>(1, train.size() / kSample);
  for (std::size_t i = 0; i < train.size(); i += stride, ++count) sum += prompts.recommendation_tokens(train[i]);
  return config.steps * config.batch * sum / std::max<std::int64_t>(1, count);
}

}  // namespace thinkrec
