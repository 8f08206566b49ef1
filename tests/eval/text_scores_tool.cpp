// Driver of text_oracle.py.
//   text_scores_tool pairs FILE WORDNET   the report on a file of pairs, as thinkrec_eval --text-pairs --json writes it
//   text_scores_tool words WORDNET        words on standard input, one a line -> JSON lines {"stem", "synonyms"}
//   text_scores_tool tokens               JSON strings on standard input, one a line -> JSON lists of tokens

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/run_program.h"
#include "eval/porter.h"
#include "eval/text_metrics.h"
#include "eval/text_pairs.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

int run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  std::string line;
  if (what == "pairs" && argc == 4) {
    std::cout << score_texts(read_text_pairs(argv[2]), WordNet(argv[3])).json().dump() << '\n';
  } else if (what == "words" && argc == 3) {
    const WordNet wordnet(argv[2]);
    while (std::getline(std::cin, line))
      std::cout << Json{{"stem", porter_stem(line)}, {"synonyms", wordnet.synonyms(line)}}.dump() << '\n';
  } else if (what == "tokens" && argc == 2) {
    while (std::getline(std::cin, line)) std::cout << Json(metric_tokens(Json::parse(line).get<std::string>())).dump() << '\n';
  } else {
    fail(ExitCode::kUsage, "text_scores_tool pairs FILE WORDNET | words WORDNET | tokens");
  }
  if (!std::cout.flush()) fail(ExitCode::kIo, "standard output: writing failed");
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return thinkrec::run_program("text_scores_tool", argc, argv, run); }
