#pragma once
// Reads recipe files and --set overrides into a Recipe, collecting every error on the way. Behind Recipe::load and validate.

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/recipe.h"
#include "core/recipe_schema.h"
#include "core/recipe_yaml.h"

namespace thinkrec {

class RecipeReader {
 public:
  explicit RecipeReader(const OptionTable& table);

  /// Files, then sets, then defaults, then conflicts; at most 200 errors are kept. Error kNoInput when `given` is neither a file that can
  /// be read nor an embedded recipe.
  void read(const std::string& given, std::span<const std::string> sets, const RecipeConflicts& conflicts = {});

  const std::vector<std::string>& errors() const { return errors_; }
  Recipe take() { return std::move(recipe_); }

 private:
  void read_text(const std::string& path, const std::string& text);
  void read_base(const std::string& path, const YamlNode& root);
  void apply(const RecipeSchema& schema, const std::string& name, const YamlNode& node);
  void apply_option(const Option& option, const std::string& name, const YamlNode& node);
  void apply_list(const RecipeSchema& schema, const std::string& name, const YamlNode& node);
  void apply_section(const RecipeSchema& schema, const std::string& name, const YamlNode& node);
  void apply_set(const std::string& text);
  void fill(const RecipeSchema& schema, const std::string& name);
  void add_conflict(const std::string& file, const std::string& line);
  void forget(const std::string& name);
  void store(const Option& option, const std::string& name, std::vector<std::string> texts, bool given);

  void error(YamlPlace place, const std::string& message);
  void add_error(const std::string& line);
  std::string advice(const RecipeSchema& schema, const std::string& key) const;

  Recipe recipe_;
  std::unique_ptr<RecipeSchema> schema_;  ///< of the table of recipe_
  std::vector<std::string> errors_;
  std::string file_;                ///< the file being read
  std::vector<std::string> chain_;  ///< files being read, to find circles of bases
  std::map<std::string, std::string> places_;  ///< of options that a file or set gives, by concrete name
  std::set<std::string> refused_;              ///< options and lists with an error of their own
};

}  // namespace thinkrec
