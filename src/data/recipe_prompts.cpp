#include "data/recipe_prompts.h"

#include <algorithm>

#include "core/error.h"

namespace thinkrec {

std::int64_t phase_count(const Recipe& recipe) {
  const std::int64_t count = recipe.count("activate.phases");
  if (count == 0) fail(ExitCode::kConfig, "activate.phases is empty: give at least one phase (see configs/quickstart.yaml)");
  return count;
}

std::string phase_template(const Recipe& recipe, std::int64_t index) {
  return recipe.text(fmt::format("activate.phases.{}.template", index));
}

PromptConfig prompt_config(const Recipe& recipe, const std::string& template_name) {
  PromptConfig config;
  config.template_text = prompt_template(template_name);
  config.features = template_has_features(config.template_text);
  config.history_features = recipe.flag("prompt.history_features");
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

}  // namespace thinkrec
