// Generated tokens for generate_oracle.py.
//   generate_tool MODEL [fp32|int8 [ROWS]]   stdin: lines {"prompt": [ids], "sample", settings}; stdout: a JSON array of new tokens a line,
//                                            in order; all lines at once, ROWS (16) at work
//   generate_tool --filter                   stdin: lines {"logits": [..], "seen": [ids], settings}; stdout: fp32 logits as filtered
// Settings are those of GenerateConfig by name; "eos" may be missing.

#include <ATen/Parallel.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "model/generator.h"

namespace {

using Json = nlohmann::json;

thinkrec::GenerateConfig settings(const Json& json) {
  thinkrec::GenerateConfig config;
  config.max_new_tokens = json.value("max_new_tokens", config.max_new_tokens);
  config.temperature = json.value("temperature", config.temperature);
  config.top_p = json.value("top_p", config.top_p);
  config.repetition_penalty = json.value("repetition_penalty", config.repetition_penalty);
  config.no_repeat_ngram = json.value("no_repeat_ngram", config.no_repeat_ngram);
  config.remember_prompt = json.value("remember_prompt", config.remember_prompt);
  config.seed = json.value("seed", config.seed);
  if (json.contains("eos")) config.eos = json["eos"].get<std::int32_t>();
  return config;
}

void filter() {
  for (std::string line; std::getline(std::cin, line);) {
    const Json json = Json::parse(line);
    auto logits = json["logits"].get<std::vector<float>>();
    thinkrec::filter_logits(logits, json["seen"].get<std::vector<std::int32_t>>(), settings(json));
    std::fwrite(logits.data(), sizeof(float), logits.size(), stdout);
  }
}

void generate(const char* path, const thinkrec::GeneratorConfig& config) {
  const auto source = thinkrec::ModelSource::open(path);
  std::vector<float> block(static_cast<std::size_t>(thinkrec::weight_count(source->config())));
  source->read(block.data());
  const thinkrec::Llama model(source->config(), thinkrec::view_weights(source->config(), block.data()));
  thinkrec::Generator generator(model, config);
  std::vector<thinkrec::GenerateRow> rows;
  for (std::string line; std::getline(std::cin, line);) {
    const Json json = Json::parse(line);
    const auto sample = json.value("sample", static_cast<std::uint64_t>(rows.size()));
    rows.push_back({json["prompt"].get<std::vector<std::int32_t>>(), {}, sample, nullptr, settings(json)});
  }
  for (const auto& row : generator.run(std::move(rows))) std::printf("%s\n", Json(row).dump().c_str());
  std::fprintf(stderr, "%lld prompt tokens\n", static_cast<long long>(generator.prompt_tokens()));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) thinkrec::fail(thinkrec::ExitCode::kUsage, "generate_tool MODEL [fp32|int8 [ROWS]] or --filter");
  if (std::strcmp(argv[1], "--filter") == 0) {
    filter();
    return 0;
  }
  thinkrec::GeneratorConfig config;
  if (argc > 2) config.precision = thinkrec::parse_precision(argv[2]);
  if (argc > 3) config.rows = std::atoi(argv[3]);
  config.threads = at::get_num_threads();
  generate(argv[1], config);
  return 0;
} catch (const thinkrec::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return static_cast<int>(error.code());
}
