#pragma once
// The option table as a tree of sections, lists of sections and options; what the recipe reader and writer walk along.

#include <memory>
#include <string>
#include <vector>

#include "core/options.h"

namespace thinkrec {

struct RecipeSchema {
  std::string key;                                      ///< last component; "*" for the element of a list
  const Option* option = nullptr;                       ///< a leaf
  std::vector<std::unique_ptr<RecipeSchema>> children;  ///< in the order of the table

  bool is_list() const { return children.size() == 1 && children[0]->key == "*"; }
  const RecipeSchema* child(const std::string& name) const;
  std::vector<std::string> child_names() const;
};

/// The table must outlive the schema. Error kInternal: a name twice, an option that is a section as well, a list that has names
/// too, a default that its own type or range refuses.
std::unique_ptr<RecipeSchema> build_schema(const OptionTable& table);

/// "a" + "b" -> "a.b"; "" + "b" -> "b".
std::string join_name(const std::string& prefix, const std::string& key);

}  // namespace thinkrec
