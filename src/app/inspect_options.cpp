// The options of thinkrec_inspect.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_inspect", "Shows what is in a data set, checkpoint, GGUF or safetensors file, the prompts of a recipe, or the tokens of text.",
    "thinkrec_inspect [--check | --reasons | --items] FILE...   |   thinkrec_inspect --tokenizer PATH --encode < strings.jsonl   |   thinkrec_inspect --environment\n"
    "       thinkrec_inspect --prompts 2 --config R.yaml",
    "FILE"};

OptionTable options() {
  using enum OptionType;
  return {
      {"tokenizer", kPath, "", "", "", "tokenizer file or folder, for --encode"},
      {"prompts", kInteger, "0", "[0, 10000]", "rows",
       "so many train rows, and reasons, of a recipe's data set as the model will see them: tokens, vectors at their slots, "
       "and where the losses are"},
      {"config", kPath, "", "", "", "recipe, for --prompts", true, Completion::kRecipes},
      {"set", kTextList, "", "", "", "name=value, over that recipe; may be repeated", true, Completion::kRecipeKeys},
      {"phase", kText, "", "", "", "--prompts of the phase of this name; empty: of the last"},
      {"check", kFlag, "false", "", "", "only say whether each file can be read, found out within bounds of time and memory"},
      {"reasons", kFlag, "false", "", "", "of data sets: every reason with its row and provenance, as JSON, one a line"},
      {"items", kFlag, "false", "", "", "of data sets: every item with its title, keywords and profile, as JSON, one a line"},
      {"encode", kFlag, "false", "", "",
       "read JSON strings, one a line, from standard input; write their token ids as JSON arrays, one a line"},
      {"environment", kFlag, "false", "", "",
       "versions, machine, GPUs, settings and free disk, and a self-test of a few seconds; for reports of bugs"},
      {"json", kFlag, "false", "", "", "--environment as JSON"},
  };
}

}  // namespace

const Program& inspect_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
