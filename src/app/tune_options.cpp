// The options of thinkrec_tune.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_tune",
    "Trains the encoder of a recipe at every point of a grid and tells the point that scores the valid rows best; that one alone is "
    "then scored on the test rows, with intervals and beside what counting gives. Trials are shared over ranks; what is finished is not done twice.",
    "mpirun -np 2 thinkrec_tune --config R.yaml --output D --learning-rates 1e-3,1e-4 --widths 64,128,256 --weight-decays 1e-2,1e-3"};

OptionTable options() {
  using enum OptionType;
  return {
      {"config", kPath, "", "", "", "recipe; its section encoder says what the grid leaves open", true, Completion::kRecipes},
      {"set", kTextList, "", "", "", "name=value: changes an option of the recipe", true, Completion::kRecipeKeys},
      {"output", kPath, "", "", "", "folder: trials/, one file each, and chosen.json, the best point with its metrics"},
      {"learning-rates", kText, "", "", "", "of the grid; empty: the recipe's"},
      {"widths", kText, "", "", "", "of the grid; empty: the recipe's"},
      {"weight-decays", kText, "", "", "", "of the grid; empty: the recipe's"},
      {"seeds", kInteger, "1", "[1, 1000]", "",
       "trials of each point, with seeds from the recipe's on; a point is judged by their mean"},
  };
}

}  // namespace

const Program& tune_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
