// Speed of generation, one JSON line; generate_speed.py runs it beside transformers and llama.cpp.
//   bench_generate MODEL PROMPTS.json NEW_TOKENS [fp32|int8 [THREADS]]
// PROMPTS.json: an array of arrays of token ids, all at work at once. Seconds of wall clock and of all cores: of the prompts (passes in
// which a prompt still is), of the writing (every row brings one token a pass), and of both with what lies around them.

#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/file.h"
#include "model/generator.h"

namespace {

using namespace thinkrec;

struct Clock {
  std::chrono::steady_clock::time_point wall = std::chrono::steady_clock::now();
  std::clock_t cpu = std::clock();
};
struct Spent {
  double wall = 0, cpu = 0;
  void add(const Clock& since) {
    wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - since.wall).count();
    cpu += static_cast<double>(std::clock() - since.cpu) / CLOCKS_PER_SEC;
  }
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) fail(ExitCode::kUsage, "bench_generate MODEL PROMPTS.json NEW_TOKENS [fp32|int8 [THREADS]]");
  const auto prompts = nlohmann::json::parse(read_file(argv[2], 1 << 28)).get<std::vector<std::vector<std::int32_t>>>();
  const std::string precision = argc > 4 ? argv[4] : "fp32";
  const int threads = argc > 5 ? std::atoi(argv[5]) : 1;
  at::set_num_threads(threads);
  const auto source = ModelSource::open(argv[1]);
  std::vector<float> block(static_cast<std::size_t>(weight_count(source->config())));
  source->read(block.data());
  const Llama model(source->config(), view_weights(source->config(), block.data()));
  const Clock begin;
  Generator generator(
      model, {.precision = parse_precision(precision), .rows = static_cast<std::int64_t>(prompts.size()), .threads = threads});
  Spent packing;
  packing.add(begin);
  nlohmann::json line = {{"precision", precision}, {"threads", threads}, {"rows", prompts.size()}, {"pack_s", packing.wall}};
  for (int round = 0; round < 2; ++round) {  // the first warms up
    const Clock start;
    std::int64_t tokens = 0, read = generator.prompt_tokens(), written = 0;
    for (const auto& prompt : prompts) {
      tokens += static_cast<std::int64_t>(prompt.size());
      GenerateRow row{prompt, {}, 0, nullptr, {}};
      row.config.max_new_tokens = std::atoi(argv[3]);
      generator.add(std::move(row));
    }
    Spent reading, writing, all;
    for (bool more = true; more;) {
      const Clock pass;
      const bool prompt_left = generator.prompt_tokens() - read < tokens;
      more = generator.step();
      (prompt_left ? reading : writing).add(pass);
      written += !prompt_left && more ? static_cast<std::int64_t>(prompts.size()) : 0;
    }
    all.add(start);
    std::int64_t made = 0;
    for (const GeneratedRow& row : generator.take_finished()) made += static_cast<std::int64_t>(row.tokens.size());
    if (generator.prompt_tokens() - read != tokens) fail(ExitCode::kBadData, "the prompts begin alike: nothing to be timed");
    line.update({{"prompt_tokens", tokens},
                 {"prompt_s", reading.wall},
                 {"prompt_cpu_s", reading.cpu},
                 {"write_tokens", written},
                 {"write_s", writing.wall},
                 {"write_cpu_s", writing.cpu},
                 {"new_tokens", made},
                 {"all_s", all.wall},
                 {"all_cpu_s", all.cpu}});
  }
  std::printf("%s\n", line.dump().c_str());
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "bench_generate: %s\n", error.what());
  return static_cast<int>(error.code());
}
