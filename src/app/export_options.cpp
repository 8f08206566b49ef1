// The options of thinkrec_export.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_export",
    "Writes an adapter of a run as a PEFT folder, or merged into the base model as a Hugging Face folder, for transformers, vLLM and others.",
    "thinkrec_export --run-dir D --adapter global --output E [--merge]\n"
    "       thinkrec_export --model M --adapter none|peft:FOLDER --merge --output E"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "directory of the run"},
      {"model", kPath, "", "", "", "instead of a run: a base model, for --adapter none or peft:FOLDER"},
      {"adapter", kText, "global", "", "",
       "global; expert:K for expert K; user:U for what serves user U, merged exactly; none; peft:FOLDER for an adapter made elsewhere"},
      {"merge", kFlag, "false", "", "",
       "write the whole model with the adapter in its weights, with tokenizer and chat template"},
      {"dtype", kChoice, "fp32", "choices fp32|bf16", "", "of the merged model's weights"},
      {"output", kPath, "", "", "", "folder to write"},
      {"set", kTextList, "", "", "", "name=value: changes an option of the run's recipe that does not shape the result", true,
       Completion::kRecipeKeys},
  };
}

}  // namespace

const Program& export_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
