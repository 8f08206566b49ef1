// The options of thinkrec_recommend.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_recommend", "Ranks items for a user by the fused experts and explains the choice.",
    "thinkrec_recommend --run-dir D (--user U [--candidates a,b,c] [--top 5] [--explain] | --users FILE)"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "a finished run directory of thinkrec_train"},
      {"user", kText, "", "", "", "user id as in the raw data"},
      {"users", kPath, "", "", "",
       "instead of --user: a file of lines {\"user\": \"42\", \"candidates\": [\"a\", \"b\"], \"top\": 5, \"explain\": true}, all but user "
       "optional; a line of JSON answers each"},
      {"candidates", kText, "", "", "", "item ids to rank, separated by commas; empty: the items that the encoder ranks highest"},
      {"pool", kInteger, "20", "[1, 100000]", "items", "how many the encoder proposes when no candidates are given"},
      {"top", kInteger, "5", "[1, 100000]", "items", "how many are shown"},
      {"explain", kFlag, "false", "", "", "generate a reason for each item shown"},
      {"max-new-tokens", kInteger, "96", "[1, 4096]", "tokens", "of a reason"},
      {"reason-precision", kChoice, "fp32", "choices fp32|int8", "",
       "of the passes that write reasons: int8 is faster and chooses other words now and then; scores are fp32 in both"},
      {"batch", kInteger, "16", "[1, 1024]", "requests", "of --users that are ranked together"},
      {"json", kFlag, "false", "", "", "a line of JSON instead of text"},
      {"set", kTextList, "", "", "", "name=value, over the run's recipe, for settings that do not change the run", true,
       Completion::kRecipeKeys},
  };
}

}  // namespace

const Program& recommend_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
