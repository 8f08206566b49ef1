#include "core/recipe_schema.h"

#include <sstream>

#include "core/error.h"

namespace thinkrec {

const RecipeSchema* RecipeSchema::child(const std::string& name) const {
  for (const auto& entry : children) {
    if (entry->key == name) return entry.get();
  }
  return nullptr;
}

std::vector<std::string> RecipeSchema::child_names() const {
  std::vector<std::string> result;
  for (const auto& entry : children) result.push_back(entry->key);
  return result;
}

std::string join_name(const std::string& prefix, const std::string& key) { return prefix.empty() ? key : prefix + "." + key; }

std::unique_ptr<RecipeSchema> build_schema(const OptionTable& table) {
  auto root = std::make_unique<RecipeSchema>();
  for (const auto& option : table) {
    RecipeSchema* at = root.get();
    std::istringstream components(option.name);
    for (std::string key; std::getline(components, key, '.');) {
      THINKREC_CHECK(!key.empty() && at->option == nullptr, "the option {} lies inside another option", option.name);
      THINKREC_CHECK(key != "*" || (at != root.get() && at->key != "*"), "the option {} is a list of lists or has no name",
                     option.name);
      RecipeSchema* next = nullptr;
      for (const auto& entry : at->children) {
        if (entry->key == key) next = entry.get();
      }
      if (next == nullptr) {
        const bool list = !at->children.empty() && (key == "*" || at->children[0]->key == "*");
        THINKREC_CHECK(!list, "the option {} makes a section of a list", option.name);
        at->children.push_back(std::make_unique<RecipeSchema>());
        next = at->children.back().get();
        next->key = key;
      }
      at = next;
    }
    THINKREC_CHECK(at != root.get() && at->option == nullptr && at->children.empty(), "the option '{}' is in the table twice",
                   option.name);
    at->option = &option;
    if (!option.default_value.empty()) {
      const auto error = validate_value(option, option.default_value);
      THINKREC_CHECK(!error, "the default of the option {} {}", option.name, *error);
    }
  }
  return root;
}

}  // namespace thinkrec
