// Driver of bert_oracle.py.
//   bleurt_tool hidden FOLDER   JSON lines {"ids", "second"} -> hidden states of all their tokens, raw fp32
//   bleurt_tool score FOLDER    JSON lines [REFERENCE, CANDIDATE] -> JSON lines {"ids", "second", "score"}

#include <ATen/ATen.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/run_program.h"
#include "model/bleurt.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

int run(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  std::string line;
  if (what == "hidden") {
    std::vector<BertRow> rows;
    while (std::getline(std::cin, line)) {
      const Json row = Json::parse(line);
      rows.push_back({row["ids"].get<std::vector<std::int32_t>>(), row["second"].get<std::int64_t>()});
    }
    const at::Tensor hidden = Bert(argv[2]).hidden(rows).contiguous();
    std::fwrite(hidden.const_data_ptr<float>(), sizeof(float), static_cast<std::size_t>(hidden.numel()), stdout);
  } else if (what == "score") {
    const Bleurt bleurt(argv[2]);
    std::vector<std::string> references, candidates;
    while (std::getline(std::cin, line)) {
      const Json pair = Json::parse(line);
      references.push_back(pair[0].get<std::string>());
      candidates.push_back(pair[1].get<std::string>());
    }
    const std::vector<double> scores = bleurt.score(references, candidates);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const BertRow row = bleurt.encode(references[i], candidates[i]);
      std::cout << Json{{"ids", row.token}, {"second", row.second}, {"score", scores[i]}}.dump() << '\n';
    }
  } else {
    fail(ExitCode::kUsage, "bleurt_tool hidden FOLDER | score FOLDER");
  }
  if (!std::cout.flush() || std::fflush(stdout) != 0) fail(ExitCode::kIo, "standard output: writing failed");
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return thinkrec::run_program("bleurt_tool", argc, argv, run); }
