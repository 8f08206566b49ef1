#include "core/embedded_recipes.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/options.h"

namespace thinkrec {
namespace {

constexpr std::string_view kEnding = ".yaml";
constexpr std::string_view kBase = "base: ";

std::string_view last_component(std::string_view name) { return name.substr(name.rfind('/') + 1); }

/// "embedded:recipes/thinkrec.yaml" -> "recipes/thinkrec".
std::string_view bare(std::string_view name) {
  if (name.starts_with(kEmbedded)) name.remove_prefix(kEmbedded.size());
  if (name.ends_with(kEnding)) name.remove_suffix(kEnding.size());
  return name;
}

std::string nearest_recipe(std::string_view name) {
  std::vector<std::string> names, ends;
  for (const auto& recipe : embedded_recipes()) {
    names.emplace_back(recipe.name);
    ends.emplace_back(last_component(recipe.name));
  }
  const std::string wanted(bare(name));
  if (const auto near = nearest_name(wanted, names)) return *near;
  const auto near = nearest_name(last_component(wanted), ends);  // "configs/quickstrat.yaml"
  return near ? names[static_cast<std::size_t>(std::find(ends.begin(), ends.end(), *near) - ends.begin())] : "";
}

}  // namespace

std::string recipe_summary(std::string_view text) {
  std::string result;
  while (text.starts_with('#')) {
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    const auto first = text.find_first_not_of("# ");
    const auto last = text.find_last_not_of(" \n", end - 1);
    if (first <= last) result += fmt::format("{}{}", result.empty() ? "" : " ", text.substr(first, last + 1 - first));
    text.remove_prefix(end);
  }
  for (std::size_t at = 0; (at = result.find(". ", at)) != std::string::npos; ++at) {
    if (std::isupper(static_cast<unsigned char>(result[at + 2])) != 0) return result.substr(0, at + 1);  // not "et al. 2023"
  }
  return result;
}

const EmbeddedRecipe* find_embedded_recipe(std::string_view name) {
  name = bare(name);
  const EmbeddedRecipe* found = nullptr;
  for (const auto& recipe : embedded_recipes()) {
    if (recipe.name == name) return &recipe;
    if (last_component(recipe.name) != name) continue;
    if (found != nullptr) return nullptr;
    found = &recipe;
  }
  return found;
}

std::string suggest_embedded_recipe(std::string_view name) {
  const auto near = nearest_recipe(name);
  return near.empty() ? " (thinkrec_train --list-recipes names those that the programs carry)"
                      : fmt::format(" (did you mean the embedded recipe '{}'? --list-recipes names all)", near);
}

std::string base_path(const std::string& path, const std::string& base) {
  if (base.starts_with(kEmbedded)) return base;
  const bool embedded = path.starts_with(kEmbedded);
  const std::filesystem::path file = embedded ? path.substr(kEmbedded.size()) : path;
  return std::string(embedded ? kEmbedded : "") + (file.parent_path() / base).lexically_normal().string();
}

std::string list_embedded_recipes() {
  std::size_t width = 0;
  for (const auto& recipe : embedded_recipes()) width = std::max(width, recipe.name.size());
  std::string result;
  for (const auto& recipe : embedded_recipes()) {
    const auto words = recipe_summary(recipe.text);
    result += words.empty() ? fmt::format("{}\n", recipe.name) : fmt::format("{:{}}  {}\n", recipe.name, width, words);
  }
  return result;
}

std::string portable_text(const EmbeddedRecipe& recipe) {
  std::string result;
  for (std::string_view rest = recipe.text; !rest.empty();) {
    const auto end = std::min(rest.find('\n'), rest.size() - 1) + 1;
    const auto line = rest.substr(0, end);
    rest.remove_prefix(end);
    if (!line.starts_with(kBase)) {
      result += line;
      continue;
    }
    const std::string base(line.substr(kBase.size(), line.find_last_not_of(" \n") + 1 - kBase.size()));
    const auto path = base_path(fmt::format("{}{}", kEmbedded, recipe.name), base);
    const EmbeddedRecipe* found = find_embedded_recipe(path);
    THINKREC_CHECK(found != nullptr, "the base {} of the recipe {} is not embedded", path, recipe.name);
    result += fmt::format("{}{}{}\n", kBase, kEmbedded, found->name);
  }
  return result;
}

std::string copy_embedded_recipe(const std::string& name, const std::string& output) {
  const EmbeddedRecipe* recipe = find_embedded_recipe(name);
  if (recipe == nullptr) {
    const auto near = nearest_recipe(name);
    fail(ExitCode::kUsage, "there is no embedded recipe '{}'{}; --list-recipes names them", name,
         near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
  }
  const std::string path = !output.empty() ? output : fmt::format("{}{}", last_component(recipe->name), kEnding);
  const std::string text = portable_text(*recipe);
  std::FILE* file = std::fopen(path.c_str(), "wx");  // x: not over one that is there
  if (file == nullptr && errno == EEXIST) fail(ExitCode::kUsage, "{} is there already; --output names another file", path);
  if (file == nullptr) fail(ExitCode::kIo, "{}: the recipe cannot be written: {}", path, std::strerror(errno));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (const bool closed = std::fclose(file) == 0; !written || !closed) {
    const std::string reason = std::strerror(errno);
    std::remove(path.c_str());
    fail(ExitCode::kIo, "{}: the recipe cannot be written: {}", path, reason);
  }
  return path;
}

}  // namespace thinkrec
