// thinkrec_train: says at once what needs no training (help, recipes, --validate), and else becomes thinkrec_train_stages. Loading libtorch
// takes longer than checking a recipe.

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "app/programs.h"
#include "core/embedded_recipes.h"
#include "core/error.h"
#include "core/option_documents.h"
#include "core/recipe.h"
#include "core/recipe_options.h"
#include "core/run_program.h"
#include "train/recipe_phases.h"
#include "train/run_plan.h"

namespace {

using namespace thinkrec;

/// --list-recipes and --copy-recipe; whether one of them was asked for.
bool gave_recipes(const CommandLine& line) {
  const bool copy = line.has("copy-recipe");
  if (line.has("output") && !copy) fail(ExitCode::kUsage, "--output goes with --copy-recipe; a run lives in --run-dir");
  if (copy && line.flag("list-recipes")) fail(ExitCode::kUsage, "give --list-recipes or --copy-recipe, not both");
  if (line.flag("list-recipes")) std::fputs(list_embedded_recipes().c_str(), stdout);
  if (copy) std::printf("wrote %s\n", copy_embedded_recipe(line.required("copy-recipe"), line.text("output")).c_str());
  return copy || line.flag("list-recipes");
}

/// Every value that is not allowed, and what the others say against each other. A file that is not there is no error: it may be elsewhere.
int validate(const CommandLine& line) {
  read_run_plan(line.text("stages"), line.text("experts"));
  const std::string config = line.text("config");
  std::optional<Recipe> recipe;  // once every value is allowed
  const auto errors = Recipe::validate(config, train_sets(line), recipe_options(), [&](const Recipe& read) {
    recipe.emplace(read);
    return recipe_conflicts(read);
  });
  for (const std::string& error : errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!errors.empty()) return static_cast<int>(ExitCode::kConfig);
  std::printf("%s: no errors\n", config.c_str());
  for (const Option& option : recipe_options()) {
    std::error_code ignored;
    if (option.type != OptionType::kPath || recipe->text(option.name).empty()) continue;
    if (const std::string path = recipe->text(option.name); !std::filesystem::exists(path, ignored))
      std::printf("note: %s: %s is not on this machine\n", option.name.c_str(), path.c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_train", [&] {
    const CommandLine line = read_command_line(train_program(), argc, argv);
    if (line.flag("list-keys")) std::fputs(recipe_help(recipe_options()).c_str(), stdout);
    if (line.finished() || line.flag("list-keys") || gave_recipes(line)) return 0;
    line.required("config");
    if (line.flag("validate")) return validate(line);
    const std::string stages = program_beside("thinkrec_train_stages", "it does the training");
    ::execv(stages.c_str(), argv);
    fail(ExitCode::kNoInput, "{} cannot be run: {}", stages, std::strerror(errno));
  });
}
