// thinkrec_bench: the trainer's own step on a workload of token ids; one JSON line.

#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "app/bench_breakdown.h"
#include "app/programs.h"
#include "adapters/peft_folder.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/run_program.h"
#include "train/device.h"
#include "train/session.h"
#include "train/step.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

constexpr std::int32_t kYes = 5;  // the yardstick's token for Yes

struct Workload {
  std::vector<EncodedRow> rows;
  std::vector<std::int64_t> user;  ///< of each row; -1: not said
};

Workload read_workload(const std::string& path, std::int64_t vocab) {
  std::ifstream in(path);
  if (!in) fail(ExitCode::kNoInput, "{}: cannot be read", path);
  Workload workload;
  std::vector<EncodedRow>& rows = workload.rows;
  std::string line;
  while (std::getline(in, line)) {
    if (line.empty()) continue;
    const auto place = fmt::format("{}:{}", path, rows.size() + 1);
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.is_object() || !json.contains("ids") || !json["ids"].is_array() ||
        !json.contains("prompt_len") || !json["prompt_len"].is_number_integer() || !json.contains("label") ||
        !json["label"].is_number()) {
      fail(ExitCode::kBadData, "{}: not a row of a workload (ids, prompt_len, label, reason)", place);
    }
    EncodedRow row;
    for (const Json& id : json["ids"]) {
      if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= vocab)
        fail(ExitCode::kBadData, "{}: a token id is outside 0..{}", place, vocab - 1);
      row.token.push_back(id.get<std::int32_t>());
    }
    row.prompt_length = json["prompt_len"].get<std::int64_t>();
    row.label = json["label"].get<float>();
    row.reason = json.value("reason", false);
    row.row = static_cast<std::int64_t>(rows.size());
    if (row.prompt_length < 1 || row.answer_length() < 1)
      fail(ExitCode::kBadData, "{}: prompt_len {} of {} tokens leaves no prompt or no answer", place, row.prompt_length,
           row.token.size());
    rows.push_back(std::move(row));
    const auto user = json.find("user");
    workload.user.push_back(user != json.end() && user->is_number_integer() ? user->get<std::int64_t>() : -1);
  }
  if (rows.empty()) fail(ExitCode::kBadData, "{}: no rows", path);
  return workload;
}

double cpu_seconds() {
  struct tms times_now = {};
  times(&times_now);
  return static_cast<double>(times_now.tms_utime + times_now.tms_stime) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_bench", [&] {
    const CommandLine line = read_command_line(bench_program(), argc, argv);
    if (line.finished()) return 0;
    at::set_num_threads(static_cast<int>(line.integer("threads")));
    const auto ranks = make_solo_collectives();
    const at::TensorOptions where = choose_device({line.text("device"), line.text("dtype"), true, line.text("matmul-precision")}, *ranks);
    const SharedModel model(line.required("model"), *ranks, where);
    const LlamaConfig& shape = model.llama().config();
    const LoraAdapter adapter = load_peft_adapter(line.required("adapter"), shape).adapter;
    const Workload workload = read_workload(line.required("workload"), shape.vocab);
    const std::vector<EncodedRow>& rows = workload.rows;
    StepConfig config;
    config.yes_token = kYes;
    config.first_layer = line.text("stage") == "expert" ? shape.layers - std::max<std::int64_t>(1, shape.layers / 4) : 0;
    config.dropout = line.real("dropout");
    config.clip = 0;
    config.micro_tokens = line.integer("micro-tokens");
    config.cache_bytes = line.integer("cache-mb") << 20;
    config.recompute = line.flag("activation-checkpointing");
    config.share = line.flag("share");
    const Projector none;
    const auto experts = static_cast<std::size_t>(line.integer("experts"));
    if (experts > 1 && config.first_layer == 0) fail(ExitCode::kUsage, "--experts {} goes with --stage expert", experts);
    std::vector<LoraAdapter> adapters;
    std::vector<std::unique_ptr<ParameterSet>> parameters;
    std::vector<StepLane> lanes;
    for (std::size_t e = 0; e < experts; ++e) adapters.push_back(adapter.to(where.device()));
    for (LoraAdapter& own : adapters) {
      parameters.push_back(std::make_unique<ParameterSet>(own.named(config.first_layer, shape.layers), 1e-3));
      lanes.push_back({&own, parameters.back().get()});
    }
    StepEngine engine(model.llama(), lanes, none, nullptr, config, *ranks);

    const std::int64_t batch = line.integer("batch"), warmup = line.integer("warmup"), steps = line.integer("steps");
    // Of every step, the warm-up's too; the losses of each expert by itself.
    std::vector<std::vector<double>> losses(experts);
    std::vector<double> step_seconds, step_cpu_seconds;
    std::vector<std::int64_t> step_tokens;
    std::int64_t number = 0;
    std::optional<OpClock> clock;
    StepShape shape_of_step{0, 0, config.first_layer, config.first_layer == 0};
    if (line.flag("breakdown") && config.first_layer > 0 && warmup * batch < static_cast<std::int64_t>(rows.size()))
      fail(ExitCode::kUsage, "--breakdown of the expert stage times cached rows: give --warmup {} to see all rows once",
           (static_cast<std::int64_t>(rows.size()) + batch - 1) / batch);
    for (std::int64_t i = 0; i < warmup + steps; ++i) {
      const auto start = std::chrono::steady_clock::now();
      const double cpu = cpu_seconds();
      std::vector<LaneRows> parts;
      std::int64_t tokens = 0, answer_tokens = 0;
      if (i == warmup && line.flag("breakdown")) clock.emplace();
      for (std::size_t e = 0; e < experts; ++e) {
        LaneRows& part = parts.emplace_back(LaneRows{e, {}, 1e-4});
        for (std::int64_t j = 0; j < batch; ++j, ++number) {
          const std::size_t index = static_cast<std::size_t>(number) % rows.size();
          const EncodedRow& row = rows[index];
          part.rows.push_back({&row, static_cast<std::uint64_t>(number), 1, workload.user[index]});
          tokens += static_cast<std::int64_t>(row.token.size());
          answer_tokens += row.answer_length();
        }
      }
      const std::vector<StepResult> results = engine.run(i + 1, parts);
      for (std::size_t e = 0; e < experts; ++e) losses[e].push_back(results[e].loss);
      step_seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      step_cpu_seconds.push_back(std::max(1e-9, cpu_seconds() - cpu));
      step_tokens.push_back(tokens);
      if (i < warmup) continue;
      for (const StepResult& result : results) shape_of_step.tokens += result.computed;
      shape_of_step.answer_tokens += answer_tokens;
    }
    double seconds = 0, tokens = 0;
    std::vector<double> rates;
    for (auto i = static_cast<std::size_t>(warmup); i < step_seconds.size(); ++i) {
      seconds += step_seconds[i];
      tokens += static_cast<double>(step_tokens[i]);
      rates.push_back(static_cast<double>(step_tokens[i]) / step_cpu_seconds[i]);
    }
    struct rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    const auto yard = std::filesystem::path(line.text("workload")).parent_path().filename().string();
    Json breakdown;
    if (clock) {
      breakdown = clock->seconds();
      clock.reset();
      shape_of_step.tokens /= steps;
      shape_of_step.answer_tokens /= steps;
      const ProductFloor floor = product_floor(shape, shape_of_step, 5);
      const double all = floor.seconds * static_cast<double>(steps);
      double known = 0;
      for (const auto& [kind, spent] : breakdown.items()) known += spent.get<double>();
      breakdown["outside operations"] = seconds - known;
      breakdown = {{"seconds", seconds},
                   {"product_floor", all},
                   {"product_flop", floor.flop * static_cast<double>(steps)},
                   {"share_of_floor", all / seconds},
                   {"of", breakdown}};
    }
    std::printf("%s\n", Json{{"impl", "thinkrec"},
                             {"yard", yard},
                             {"stage", line.text("stage")},
                             {"dtype", line.text("dtype")},
                             {"threads", line.integer("threads")},
                             {"batch", batch},
                             {"micro_tokens", config.micro_tokens},
                             {"experts", line.integer("experts")},
                             {"samples_per_s", static_cast<double>(number - warmup * batch * line.integer("experts")) / seconds},
                             {"tokens_per_s", tokens / seconds},
                             {"tokens_per_cpu_s", median(rates)},
                             {"peak_rss_gb", static_cast<double>(usage.ru_maxrss) / (1 << 20)},
                             {"breakdown", breakdown},
                             {"step_seconds", step_seconds},
                             {"step_cpu_s", step_cpu_seconds},
                             {"step_tokens", step_tokens},
                             {"losses", experts == 1 ? Json(losses[0]) : Json(losses)}}
                            .dump()
                            .c_str());
    flush_output();
    return 0;
  });
}
