// bench_data DATA.h5 TOKENIZER: what the data path costs on a data set, as one JSON object (docs/performance.md).

#include "bench/data_figures.h"

int main(int argc, char** argv) {
  using namespace thinkrec;
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s DATA.h5 TOKENIZER\n", argv[0]);
    return 2;
  }
  try {
    figures::Json out;
    Dataset data;
    out["open"] = figures::open_data(argv[1], data);
    const auto tokenizer = load_tokenizer(argv[2]);
    PromptConfig config;
    config.template_text = prompt_template("thinkrec");
    out["tokenising"] = figures::tokenising(data, *tokenizer, config, 200'000);
    const auto rows = static_cast<std::int64_t>(data.rows(Split::kTrain).size());
    for (const int ranks : {1, 8, 64}) out["epoch"].push_back(figures::epoch(rows, ranks, 512));
    const PromptBuilder prompts(data, *tokenizer, config);
    for (const int ranks : {1, 8, 64}) out["read_ahead"].push_back(figures::read_ahead(prompts, data, ranks, 8, 200, 0.025));
    for (const int ranks : {2, 8, 64}) out["balance"][std::to_string(ranks)] = figures::balance(ranks, 8, 500);
    out["plans_worst"] = figures::plans(300);
    const auto users = static_cast<std::int64_t>(data.users.size());
    for (const int groups : {2, 4, 16}) {
      for (const float apart : {0.0F, 0.5F})
        out["grouping"].push_back(figures::grouping(users, 64, groups, apart, GroupingMethod::kKmeans));
    }
    out["grouping"].push_back(figures::grouping(users, 64, 4, 0.5F, GroupingMethod::kWard));
    out["peak_mb"] = figures::memory_mb("VmHWM");
    std::puts(out.dump(1).c_str());
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_data: %s\n", error.what());
    return 1;
  }
}
