// thinkrec_tune: encoder settings from a grid, chosen on the valid rows alone.

#include <ATen/Parallel.h>

#include <filesystem>
#include <sstream>

#include "app/programs.h"
#include "app/ranked_program.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/recipe_options.h"
#include "data/guard.h"
#include "eval/metrics.h"
#include "io/file.h"
#include "report/table.h"
#include "train/stages.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

struct Point {
  double learning_rate;
  std::int64_t width;
  double weight_decay;
  auto operator<=>(const Point&) const = default;
};

struct Trial {
  Point point;
  std::uint64_t seed;
  std::string file;
};

/// "mf lr=0.001 width=64 wd=0.1"
std::string describe(const Point& p) { return fmt::format("lr={} width={} wd={}", p.learning_rate, p.width, p.weight_decay); }

/// The numbers of "1e-3,1e-4", or the fallback for an empty list.
std::vector<double> values_or(const CommandLine& line, const std::string& name, double fallback) {
  std::vector<double> values;
  std::istringstream text(line.text(name));
  for (std::string part; std::getline(text, part, ',');) {
    const auto value = parse_real(part);
    if (!value || !(*value >= 0)) fail(ExitCode::kUsage, "--{} {}: '{}' is no number of at least 0", name, line.text(name), part);
    values.push_back(*value);
  }
  return values.empty() ? std::vector<double>{fallback} : values;
}

RankingMetrics metrics_of(const Dataset& dataset, Split split, std::span<const double> scores, int k) {
  ScoredRows scored;
  for (const std::int64_t row : dataset.rows(split)) {
    scored.user.push_back(dataset.user[static_cast<std::size_t>(row)]);
    scored.label.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  scored.score.assign(scores.begin(), scores.end());
  return ranking_metrics(scored, k);
}

Json to_json(const RankingMetrics& m) { return {{"auc", m.auc}, {"uauc", m.uauc}, {"ndcg", m.ndcg}, {"map", m.map}}; }

/// What selection looks at, as in training.
double judged(const Json& valid) {
  const auto or_half = [](const Json& value) { return value.is_number() ? value.get<double>() : 0.5; };
  return or_half(valid["auc"]) / 4 + or_half(valid["uauc"]) / 3;
}

Json run_trial(const Dataset& dataset, EncoderConfig config, const Trial& trial, int k) {
  config.learning_rate = trial.point.learning_rate;
  config.width = trial.point.width;
  config.weight_decay = trial.point.weight_decay;
  config.seed = trial.seed;
  const auto alone = make_solo_collectives();
  std::int64_t epochs = 0;
  const auto encoder = train_encoder(
      config, dataset, *alone,
      [&](std::span<const double> scores) { return judged(to_json(metrics_of(dataset, Split::kValid, scores, k))); },
      [&](const EncoderProgress& progress) { epochs = progress.epoch; });
  Json result = {{"learning_rate", config.learning_rate},
                 {"width", config.width},
                 {"weight_decay", config.weight_decay},
                 {"seed", config.seed},
                 {"epochs", epochs}};
  for (const Split split : {Split::kValid, Split::kTest})
    result[kSplitNames[static_cast<std::size_t>(split)]] =
        to_json(metrics_of(dataset, split, encoder->scores(dataset, dataset.rows(split)), k));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  return run_ranked_program("thinkrec_tune", [&](std::unique_ptr<World>& world) {
    const CommandLine line = read_command_line(tune_program(), argc, argv);
    if (line.finished()) return 0;
    world = std::make_unique<World>(argc, argv);
    Collectives& ranks = world->all();
    init_log("thinkrec_tune", ranks.rank());
    const Recipe recipe = Recipe::load(line.required("config"), line.list("set"), recipe_options());
    const std::filesystem::path output = line.required("output"), folder = output / "trials";
    const EncoderConfig config = encoder_config(recipe, recipe.text("encoder.kind"));
    at::set_num_threads(std::max(1, static_cast<int>(recipe.integer("run.threads"))));
    check_in_guard(recipe.text("data.path"));
    const Dataset dataset = load_dataset(recipe.text("data.path"));
    const int k = static_cast<int>(recipe.integer("evaluate.k"));
    make_folder(folder.string());

    // A trial's file is named by all that shapes it.
    std::vector<Trial> trials;
    for (const double rate : values_or(line, "learning-rates", config.learning_rate)) {
      for (const double width : values_or(line, "widths", static_cast<double>(config.width))) {
        for (const double decay : values_or(line, "weight-decays", config.weight_decay)) {
          for (std::int64_t s = 0; s < line.integer("seeds"); ++s) {
            const Point point{rate, static_cast<std::int64_t>(width), decay};
            const std::uint64_t seed = config.seed + static_cast<std::uint64_t>(s);
            const std::string shape = fmt::format("{}|{}|{}|{}", dataset.hash(), recipe.hash(), describe(point), seed);
            trials.push_back({point, seed, (folder / (sha256_hex(shape).substr(0, 16) + ".json")).string()});
          }
        }
      }
    }
    for (std::size_t i = 0; i < trials.size(); ++i) {
      if (static_cast<int>(i % static_cast<std::size_t>(ranks.size())) != ranks.rank()) continue;
      if (std::filesystem::exists(trials[i].file)) continue;
      const Json result = run_trial(dataset, config, trials[i], k);
      write_file_atomic(trials[i].file, result.dump(1) + "\n");
      log_info("{} seed {}: valid AUC {:.4f} UAUC {:.4f}", describe(trials[i].point), trials[i].seed,
               result["valid"]["auc"].get<double>(), result["valid"]["uauc"].get<double>());
    }
    ranks.barrier();
    if (ranks.rank() != 0) return 0;

    // Choose on the valid rows; only the chosen point's test metrics are read.
    std::map<Point, std::vector<Json>> results;
    for (const Trial& trial : trials) {
      Json result = Json::parse(read_file(trial.file, 1 << 20), nullptr, false);
      if (!result.is_object() || !result.contains("valid") || !result.contains("test"))
        fail(ExitCode::kBadData, "{}: not a trial; delete it and run again", trial.file);
      results[trial.point].push_back(std::move(result));
    }
    const auto mean = [](const std::vector<Json>& of, const char* split, const char* metric) {
      double sum = 0;
      for (const Json& one : of) sum += one[split][metric].is_number() ? one[split][metric].get<double>() : std::nan("");
      return sum / static_cast<double>(of.size());
    };
    const auto score = [](const std::vector<Json>& of) {
      double sum = 0;
      for (const Json& one : of) sum += judged(one["valid"]);
      return sum / static_cast<double>(of.size());
    };
    const auto best = std::max_element(results.begin(), results.end(),
                                       [&](const auto& a, const auto& b) { return score(a.second) < score(b.second); });
    Table table({"point", "valid AUC", "valid UAUC", "chosen"});
    for (const auto& [point, of] : results)
      table.add_row({describe(point), format_number(mean(of, "valid", "auc"), 4), format_number(mean(of, "valid", "uauc"), 4),
                     point == best->first ? "*" : ""});
    std::fputs(table.text().c_str(), stdout);
    const auto means = [&](const char* split) {
      Json all;
      for (const char* metric : {"auc", "uauc", "ndcg", "map"}) all[metric] = mean(best->second, split, metric);
      return all;
    };
    const Json chosen = {{"kind", config.kind},
                         {"learning_rate", best->first.learning_rate},
                         {"width", best->first.width},
                         {"weight_decay", best->first.weight_decay},
                         {"seeds", best->second.size()},
                         {"rows", dataset.rows(Split::kTest).size()},
                         {"k", k},
                         {"valid", means("valid")},
                         {"test", means("test")},
                         {"trials", best->second}};
    write_file_atomic((output / "chosen.json").string(), chosen.dump(1) + "\n");
    const Json& test = chosen["test"];
    fmt::print("{}, {}, mean of {} seeds on test: AUC {:.4f} UAUC {:.4f} NDCG@{} {:.4f} MAP@{} {:.4f}\n", config.kind,
               describe(best->first), best->second.size(), test["auc"].get<double>(), test["uauc"].get<double>(), k,
               test["ndcg"].get<double>(), k, test["map"].get<double>());
    return 0;
  });
}
