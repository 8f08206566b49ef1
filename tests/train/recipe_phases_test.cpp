// What a recipe says of its phases, and what in it cannot be together.
#include "core/joined.h"
#include "train/recipe_phases.h"

#include "core/recipe_options.h"
#include "support/testing.h"
#include "train/run_plan.h"

namespace thinkrec {
namespace {

/// A line for each of `parts`, which it holds.
void expect_lines(const std::vector<std::string>& lines, const std::vector<std::string>& parts) {
  ASSERT_EQ(lines.size(), parts.size()) << joined(lines, "\n");
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_NE(lines[i].find(parts[i]), std::string::npos) << lines[i];
}

/// The quickstart's recipe, changed.
std::vector<std::string> conflicts(const std::vector<std::string>& sets) {
  return recipe_conflicts(Recipe::load("quickstart", sets, recipe_options()));
}

TEST(RecipeConflicts, NoneInTheRecipeOfTheQuickstart) { expect_lines(conflicts({}), {}); }

TEST(RecipeConflicts, AnEmptyRecipeLacksDataModelAndPhases) {
  expect_lines(recipe_conflicts(Recipe::load("", {}, recipe_options())),
              {"data.path is not set", "model.path is not set", "activate.phases is empty"});
}

TEST(RecipeConflicts, APhaseTrainsWhatItsPromptsHave) {
  expect_lines(conflicts({"activate.phases.0.template=text", "activate.phases.0.train=projector"}), {"has no features"});
  expect_lines(conflicts({"activate.phases.0.template=text", "activate.phases.0.train=soft"}), {"has none"});
}

TEST(RecipeConflicts, RatesDoNotRise) {
  expect_lines(conflicts({"activate.phases.0.min_learning_rate=1"}),
              {"activate.phases.0.min_learning_rate 1 is above activate.phases.0.learning_rate"});
  expect_lines(conflicts({"expert.min_learning_rate=1"}), {"expert.min_learning_rate 1 is above"});
}

TEST(RecipeConflicts, AnEncoderThatCannotBe) {
  expect_lines(conflicts({"encoder.width=10", "encoder.heads=3"}), {"encoder.heads must be a divisor of encoder.width 10"});
}

TEST(RecipeConflicts, AnEncoderOfTheGroupsThatCannotBe) {
  expect_lines(conflicts({"encoder.kind=mf", "group.encoder=sasrec", "encoder.fold_in=true", "encoder.warm_start=false"}),
               {"encoder.fold_in must be false without encoder.warm_start"});
}

TEST(RecipeConflicts, GpuSettingsOnACpu) {
  expect_lines(conflicts({"run.device=cpu", "run.dtype=bf16", "run.profile_from=1", "run.profile_to=nvtx"}),
              {"run.dtype bf16", "run.profile_to nvtx"});
  expect_lines(conflicts({"run.device=auto", "run.dtype=bf16"}), {});
}

TEST(RunPlan, NamesStagesAndExperts) {
  const RunPlan plan = read_run_plan("group,expert", "0,3");
  EXPECT_EQ(plan.stages, (std::set<std::string>{"expert", "group"}));
  EXPECT_EQ(plan.experts, (std::set<int>{0, 3}));
  testing::expect_error(ExitCode::kUsage, "did you mean 'evaluate'", [] { read_run_plan("evaluat", ""); });
  testing::expect_error(ExitCode::kUsage, "'x' is not the number of an expert", [] { read_run_plan("expert", "x"); });
  testing::expect_error(ExitCode::kUsage, "leave evaluate out", [] { read_run_plan("expert,evaluate", "1"); });
}

}  // namespace
}  // namespace thinkrec
