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

std::int64_t phase_count(const Recipe& recipe) {
  const std::int64_t count = recipe.count("activate.phases");
  if (count == 0) fail(ExitCode::kConfig, "activate.phases is empty: give at least one phase (see configs/quickstart.yaml)");
  return count;
}

std::string phase_template(const Recipe& recipe, std::int64_t index) {
  return recipe.text(fmt::format("activate.phases.{}.template", index));
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

PromptConfig prompt_config(const Recipe& recipe, const std::string& template_name) {
  PromptConfig config;
  config.template_text = prompt_template(template_name);
  config.features = template_has_features(config.template_text);
  config.keywords = recipe.flag("prompt.keywords");
  config.labels = recipe.flag("prompt.labels");
  config.anchored = recipe.text("prompt.window") == "anchored";
  config.disliked = recipe.flag("prompt.disliked");
  config.history = recipe.integer("prompt.history");
  config.max_tokens = recipe.integer("prompt.max_tokens");
  return config;
}

std::int64_t most_soft_tokens(const Recipe& recipe) {
  std::int64_t most = 0;
  for (std::int64_t i = 0; i < phase_count(recipe); ++i)
    most = std::max(most, soft_tokens(prompt_template(phase_template(recipe, i))));
  return most;
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
