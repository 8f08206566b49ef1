#include "train/prompt_room.h"

#include <map>

#include "core/joined.h"
#include "data/prompt.h"
#include "train/calibration.h"
#include "train/recipe_phases.h"
#include "train/session.h"

namespace thinkrec {
namespace {

constexpr std::size_t kNamed = 5;  // of what does not fit

/// What is asked by one template.
struct Asked {
  std::set<std::int32_t> items;
  bool reasons = false;
};

}  // namespace

std::string prompt_room_problem(const Dataset& dataset, const Tokenizer& tokenizer, const Recipe& recipe,
                                const std::set<std::string>& stages) {
  const auto wants = [&](const char* stage) { return stages.empty() || stages.contains(stage); };
  const auto seed = static_cast<std::uint64_t>(recipe.integer("run.seed"));
  std::map<std::string, Asked> asked;
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& rows) {
    for (const std::int64_t row : rows) asked[name].items.insert(dataset.item[static_cast<std::size_t>(row)]);
  };
  const auto trains = [&](const std::string& name) {
    add(name, sample_train_rows(dataset, recipe.integer("mix.train_rows"), recipe.integer("mix.rows_per_user"), seed));
    add(name, sample_rows(dataset, Split::kValid, recipe.integer("valid.rows"), recipe.integer("valid.rows_per_user"), seed));
    asked[name].reasons |= recipe.real("mix.reason_share") > 0;
  };
  const std::int64_t phases = phase_count(recipe);
  if (wants("activate") && recipe.text("activate.from").empty()) {
    for (std::int64_t i = 0; i < phases; ++i) {
      if (activate_phase(recipe, i).steps > 0) trains(phase_template(recipe, i));
    }
  }
  const std::string served = phase_template(recipe, phases - 1);
  if (wants("expert") && recipe.integer("expert.steps") > 0) trains(served);
  if (wants("evaluate")) {
    const auto rows = sample_rows(dataset, parse_split(recipe.text("evaluate.split")), recipe.integer("evaluate.rows"),
                                  recipe.integer("evaluate.rows_per_user"), seed);
    add(served, rows);
    for (const std::string& model : recipe.list("evaluate.models")) {
      if (model == "untrained") add("text", rows);
    }
    if (recipe.integer("evaluate.calibration_rows") > 0) add(served, calibration_rows(dataset, recipe).rows);
  }
  std::vector<std::string> named;
  std::set<std::int64_t> items, reasons;  // that do not fit in one template at least
  const std::int64_t room = recipe.integer("prompt.max_tokens");
  const auto take = [&](std::set<std::int64_t>& known, std::int64_t which, std::int64_t tokens, const auto& what) {
    if (tokens <= room || !known.insert(which).second) return;
    if (named.size() < kNamed) named.push_back(fmt::format("{} takes {}", what(), tokens));
  };
  for (const auto& [name, what] : asked) {
    const PromptBuilder prompts(dataset, tokenizer, prompt_config(recipe, name));
    const auto item_name = [&](std::int32_t item) {
      return fmt::format("item '{}'", dataset.items[static_cast<std::size_t>(item)].id);
    };
    for (const std::int32_t item : what.items) take(items, item, prompts.least_tokens(item), [&] { return item_name(item); });
    if (!what.reasons) continue;
    for (const Reason& reason : dataset.reasons) {
      take(reasons, reason.row, prompts.least_tokens(reason), [&] {
        const std::int32_t item = dataset.item[static_cast<std::size_t>(reason.row)];
        return fmt::format("the reason of row {} ({})", reason.row, item_name(item));
      });
    }
  }
  if (named.empty()) return "";
  return fmt::format(
      "{}: with their question and without any history, {} items and {} reasons do not fit in prompt.max_tokens = {}: {} tokens{}; raise it, in a "
      "new --run-dir, or shorten {}",
      recipe.text("data.path"), items.size(), reasons.size(), room, joined(named, ", "),
      items.size() + reasons.size() > named.size() ? ", and so on" : "",
      items.empty() ? "reasons (thinkrec_synthesize --max-words)" : "titles and keywords");
}

}  // namespace thinkrec
