// The options of thinkrec_synthesize.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_synthesize", "Makes reasons for train rows by an LLM and stores them in the data set; goes on where it ended.",
    "thinkrec_synthesize reasons --data data.h5 --backend local --model M.gguf --rows 32", "WHAT (reasons)"};

OptionTable options() {
  using enum OptionType;
  return {
      {"data", kPath, "", "", "", "data set written by thinkrec_prepare; it is extended in place"},
      {"backend", kChoice, "local", "choices local", "", "who answers: the model named by --model, on this machine"},
      {"model", kPath, "", "", "", "Hugging Face folder or .gguf file"},
      {"rows", kInteger, "32", "[0, inf)", "reasons", "that the data set shall have in the end"},
      {"history", kInteger, "8", "[1, 1000]", "items", "of the history that the model is shown"},
      {"max-new-tokens", kInteger, "72", "[8, 4096]", "tokens", "of a reply"},
      {"batch", kInteger, "8", "[1, 1024]", "prompts", "answered at once"},
      {"seed", kInteger, "0", "[0, inf)", "", "which rows are tried"},
      {"threads", kInteger, "0", "[0, 1024]", "threads", "0: all cores"},
  };
}

}  // namespace

const Program& synthesize_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
