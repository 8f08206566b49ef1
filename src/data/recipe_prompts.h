#pragma once
// What a recipe says of its prompts, before a model is opened.

#include <cstdint>
#include <string>

#include "core/recipe.h"
#include "data/prompt.h"

namespace thinkrec {

/// Phases of the global stage; kConfig when there is none.
std::int64_t phase_count(const Recipe& recipe);
/// Name of a phase's template.
std::string phase_template(const Recipe& recipe, std::int64_t index);
/// Prompt settings with the named template ("thinkrec" or "text").
PromptConfig prompt_config(const Recipe& recipe, const std::string& template_name);
/// The phases' prompts share their learnt tokens: the most that one has.
std::int64_t most_soft_tokens(const Recipe& recipe);

}  // namespace thinkrec
