// The options of thinkrec_train.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_train", "Trains an LLM recommender that gives its reasons: every stage of the ThinkRec method.",
    "mpirun -np 8 thinkrec_train --config R.yaml --run-dir D [--stages encode,activate,group,expert,evaluate]"};

OptionTable options() {
  using enum OptionType;
  return {
      {"config", kPath, "", "", "",
       "recipe: a YAML file, or the name of one that is embedded (--list-recipes), whose keys --list-keys prints; with --resume an existing "
       "run directory's own recipe is compared with it",
       true, Completion::kRecipes},
      {"run-dir", kPath, "", "", "", "where the run lives; made when it is not there, resumed when it is"},
      {"set", kTextList, "", "", "", "name=value, over the recipe; may be repeated", true, Completion::kRecipeKeys},
      {"stages", kText, "encode,activate,group,expert,evaluate", "", "",
       "stages to run, separated by commas; earlier ones must be finished"},
      {"experts", kText, "", "", "", "train only these experts, separated by commas; empty: all"},
      {"resume", kChoice, "auto", "choices auto|never", "",
       "auto: go on from the newest checkpoint; never: refuse an existing run directory"},
      {"deterministic", kChoice, "", "choices |off|fast|strict", "", "as --set run.deterministic=..."},
      {"inject", kTextList, "", "", "",
       "a fault on purpose, RANK:STEP:KIND, to see what a run survives: kill, kill-validation, usr2-validation, usr2-second-validation, stop, loop, error, "
       "mismatch, or nan- or inf- with loss, gradient, input or weight; may be repeated"},
      {"validate", kFlag, "false", "", "",
       "only check the recipe: every value that is not allowed, and once all are, how they go together"},
      {"dry-run", kFlag, "false", "", "",
       "only open data, tokenizer and model, and forecast steps, memory, time and disk of a run on --ranks ranks, without starting them; the "
       "model may be a config.json alone"},
      {"ranks", kInteger, "1", "[1, 65536]", "ranks", "of the run that --dry-run forecasts"},
      {"ranks-per-node", kInteger, "0", "[0, 1024]", "ranks", "--dry-run: of a node; 0: 8 with GPUs, else all"},
      {"gpu", kChoice, "", "choices |a10|a100-40|a100-80|b200|h100|h200|l40s|rtx4090", "",
       "--dry-run: the ranks compute on one such GPU each; empty: on CPUs like this machine's"},
      {"memory", kReal, "0", "[0, 1000000]", "GiB", "--dry-run: what a rank may use; 0: the GPU's memory, no bound on CPUs"},
      {"mfu", kReal, "0.4", "(0, 1]", "", "--dry-run: share of the GPU's peak FLOP/s that training is assumed to reach"},
      {"json", kPath, "", "", "", "--dry-run: write the forecast here, too"},
      {"list-keys", kFlag, "false", "", "", "only print every key of recipes with its meaning, default and range"},
      {"list-recipes", kFlag, "false", "", "", "only list the embedded recipes"},
      {"copy-recipe", kText, "", "", "",
       "only write this embedded recipe to a file, to be changed; its base stays an embedded one", true, Completion::kRecipes},
      {"output", kPath, "", "", "", "file that --copy-recipe writes; empty: the recipe's name in the current folder"},
  };
}

}  // namespace

const Program& train_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

std::vector<std::string> train_sets(const CommandLine& line) {
  std::vector<std::string> sets = line.list("set");
  if (!line.text("deterministic").empty()) sets.push_back("run.deterministic=" + line.text("deterministic"));
  return sets;
}

}  // namespace thinkrec
