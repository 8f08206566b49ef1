#pragma once
// The recipe: a YAML file, its base files, and --set overrides, checked against one OptionTable; every error is found at once.
//
// Names in the table are dotted ("activate.learning_rate"); a component `*` is a list index ("activate.phases.*.prompt"). A
// recipe may name a file whose values it overrides at top level, `base: other.yaml`, relative to itself; a list is replaced as a
// whole. Order: table default < base < recipe < --set. Relative paths of kPath options are relative to the current directory.
// A recipe that is no file may be an embedded one, by its name (core/embedded_recipes.h).

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/options.h"

namespace thinkrec {

struct RecipeSchema;
class Recipe;

/// What is wrong between values of a recipe that are each allowed: a line each, which names their options ("expert.rank 4 is above ...").
using RecipeConflicts = std::function<std::vector<std::string>(const Recipe&)>;

class Recipe {
 public:
  /// Reads `path` (empty: no file, only defaults and sets). `sets` are "name=value"; "a.0.b=5" reaches into a list that exists.
  /// Error kNoInput when a file cannot be read; kConfig with one line "file:line:column: ..." per error. Bounds: 1 MiB a file,
  /// depth 64, 100,000 nodes with aliases expanded, a chain of 16 bases. Conflicts are errors as well, at the place of the first option
  /// that they name and a file or set gives; those that name an option with an error of its own are left out.
  static Recipe load(const std::string& path, std::span<const std::string> sets, const OptionTable& table,
                     const RecipeConflicts& conflicts = {});

  /// The same checks, returning the errors (empty: the recipe is good). A missing file is an error line too.
  static std::vector<std::string> validate(const std::string& path, std::span<const std::string> sets, const OptionTable& table,
                                           const RecipeConflicts& conflicts = {});

  // By concrete name ("activate.phases.0.steps"). Unknown name, or a getter that does not fit the type: Error kInternal.
  std::string text(const std::string& name) const;  ///< kText, kChoice, kPath
  std::int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;  ///< kReal or kInteger
  bool flag(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;  ///< kTextList
  std::vector<double> real_list(const std::string& name) const;  ///< kRealList
  bool given(const std::string& name) const;                     ///< set by a file or --set rather than by default
  bool has_value(const std::string& name) const;  ///< not empty; integer and real of an empty option are Error kConfig

  /// The options that affect the result, sorted by concrete name, with their values as a YAML list: "[0.05]".
  std::vector<std::pair<std::string, std::string>> affecting() const;

  /// "name=value" of the options that a file or --set gave another value than the default, sorted by concrete name.
  std::vector<std::string> changed() const;

  /// Elements of a list of sections: count("activate.phases"). Error kInternal when the table has no "<name>.*...".
  std::int64_t count(const std::string& name) const;

  /// The whole recipe as YAML, every option in the order of the table; loading it again gives the same recipe.
  std::string resolved() const;

  /// SHA-256 (hex) over the values of the options that affect the result; independent of the order of the table.
  std::string hash() const { return hash(false); }
  /// The same over those of them that a file or --set gave: for a recipe.yaml, the options of the version that wrote it.
  std::string hash_of_given() const { return hash(true); }

 private:
  struct Value {
    std::vector<std::string> texts;  ///< one, or the elements of a list
    bool given = false;
  };
  friend class RecipeReader;

  std::string hash(bool only_given) const;
  const Value& value(const std::string& name, std::span<const OptionType> types) const;
  void write_section(const RecipeSchema& section, const std::string& name, std::size_t depth, std::string& text) const;

  OptionTable table_;
  std::map<std::string, Value> values_;         ///< by concrete name
  std::map<std::string, std::int64_t> counts_;  ///< by concrete name of the list
};

/// "activate.phases.3.prompt" -> "activate.phases.*.prompt".
std::string generic_name(const std::string& name);

}  // namespace thinkrec
