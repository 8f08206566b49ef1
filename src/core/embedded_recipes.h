#pragma once
// The recipes of configs/, inside the program: usable by name wherever it runs.
//
// A recipe's name is its path below configs/ without .yaml ("recipes/thinkrec"); the last component alone will do where only one
// recipe ends so. As a path, also in `base:`, it is written "embedded:recipes/thinkrec".

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

struct EmbeddedRecipe {
  std::string_view name;
  std::string_view text;
};

inline constexpr std::string_view kEmbedded = "embedded:";

/// All, sorted by name.
std::span<const EmbeddedRecipe> embedded_recipes();

/// By name, with or without "embedded:" and ".yaml"; null when there is none, or more than one that ends so.
const EmbeddedRecipe* find_embedded_recipe(std::string_view name);

/// " (did you mean the embedded recipe 'x'? --list-recipes names all)", or where to look, for what was no file and no recipe's name.
std::string suggest_embedded_recipe(std::string_view name);

/// Where `base` of the recipe at `path` lies: relative to `path`, among the embedded recipes for an embedded one.
std::string base_path(const std::string& path, const std::string& base);

/// The first sentence of the comment that a recipe begins with.
std::string recipe_summary(std::string_view text);

/// One line a recipe: its name, then its summary.
std::string list_embedded_recipes();

/// The recipe with its base, where it has one, named as an embedded recipe: it means the same in whatever folder it is put.
std::string portable_text(const EmbeddedRecipe& recipe);

/// Writes portable_text to `output` (empty: the last component of the name, with .yaml, in the current folder); what it wrote.
/// Error kUsage: no such recipe (nearest name suggested), or the file is there already; kIo: it cannot be written.
std::string copy_embedded_recipe(const std::string& name, const std::string& output);

}  // namespace thinkrec
