// The options of thinkrec_check.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_check",
    "Reads each file once within bounds of time and memory, and says whether that went well; 0: all are fine, 65 or 66: one is not.",
    "thinkrec_check FILE...", "FILE"};

OptionTable options() {
  return {{"seconds", OptionType::kInteger, "10", "[1, 3600]", "s", "for a file; more for one above 128 MiB"}};
}

}  // namespace

const Program& check_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
