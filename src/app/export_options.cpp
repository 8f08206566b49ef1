// The options of thinkrec_export.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_export", "Writes an adapter of a run as a PEFT folder, which transformers and others load onto the base model.",
    "thinkrec_export --run-dir D --adapter global --output E"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "directory of the run"},
      {"adapter", kText, "global", "", "", "global; expert:K for expert K; user:U for what serves user U, merged exactly"},
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
