// thinkrec_tune: encoder settings from a grid, chosen on the valid rows alone.

#include <ATen/Parallel.h>

#include <chrono>
#include <filesystem>
#include <sstream>

#include "app/programs.h"
#include "app/ranked_program.h"
#include "comm/rank_threads.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/recipe_options.h"
#include "data/guard.h"
#include "eval/baselines.h"
#include "eval/bootstrap.h"
#include "eval/metrics.h"
#include "io/file.h"
#include "report/metrics_report.h"
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
  std::string file;  ///< of its valid rows
  std::string test_file() const { return file.substr(0, file.size() - 5) + ".test.json"; }
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

ScoredRows scored_rows(const Dataset& dataset, Split split, std::span<const double> scores) {
  ScoredRows scored;
  for (const std::int64_t row : dataset.rows(split)) {
    scored.user.push_back(dataset.user[static_cast<std::size_t>(row)]);
    scored.label.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  scored.score.assign(scores.begin(), scores.end());
  return scored;
}

struct Grid {
  const Dataset& dataset;
  const EncoderConfig& config;
  int k, resamples;
};

/// Trains one encoder and writes what its valid rows say, and, where asked, what its test rows do: metrics with intervals, and the paired
/// differences from what counting gives.
void run_trial(const Grid& grid, const Trial& trial, bool with_test) {
  EncoderConfig config = grid.config;
  config.learning_rate = trial.point.learning_rate;
  config.width = trial.point.width;
  config.weight_decay = trial.point.weight_decay;
  config.seed = trial.seed;
  const Dataset& dataset = grid.dataset;
  const auto alone = make_solo_collectives();
  const auto start = std::chrono::steady_clock::now();
  std::int64_t epochs = 0;
  const auto valid_metrics = [&](std::span<const double> scores) {
    return ranking_metrics(scored_rows(dataset, Split::kValid, scores), grid.k);
  };
  const auto encoder = train_encoder(
      config, dataset, *alone, [&](std::span<const double> scores) { return selection_score(valid_metrics(scores)); },
      [&](const EncoderProgress& progress) { epochs = progress.epoch; });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const RankingMetrics valid = valid_metrics(encoder->scores(dataset, dataset.rows(Split::kValid)));
  const Json result = {{"learning_rate", config.learning_rate},
                       {"width", config.width},
                       {"weight_decay", config.weight_decay},
                       {"seed", config.seed},
                       {"epochs", epochs},
                       {"seconds", seconds},
                       {"judged", selection_score(valid)},
                       {"valid", {{"auc", json_number(valid.auc)}, {"uauc", json_number(valid.uauc)}}}};
  write_file_atomic(trial.file, result.dump(1) + "\n");
  log_info("{} seed {}: valid AUC {:.4f} UAUC {:.4f}", describe(trial.point), trial.seed, valid.auc, valid.uauc);
  if (!with_test) return;
  const auto& rows = dataset.rows(Split::kTest);
  const ScoredRows scored = scored_rows(dataset, Split::kTest, encoder->scores(dataset, rows));
  Json test = {{"test", metrics_json(ranking_metrics(scored, grid.k),
                                     user_bootstrap(scored, grid.k, grid.resamples, grid.config.seed), grid.k)}};
  for (const auto& [name, scores] :
       {std::pair{"item_mean", item_mean_scores(dataset, rows)}, {"logistic", logistic_scores(dataset, rows)}}) {
    test["difference"][name] = metrics_json(
        paired_bootstrap(scored, scored_rows(dataset, Split::kTest, scores), grid.k, grid.resamples, grid.config.seed), grid.k);
  }
  write_file_atomic(trial.test_file(), test.dump(1) + "\n");
}

Json read_trial(const std::string& file, const char* member) {
  Json result = Json::parse(read_file(file, 1 << 20), nullptr, false);
  if (!result.is_object() || !result.contains(member)) fail(ExitCode::kBadData, "{}: not a trial; delete it and run again", file);
  return result;
}

/// The mean of objects of the same shape, number by number; null where one has none.
Json mean_of(const std::vector<Json>& all) {
  const Json& first = all.front();
  if (first.is_structured()) {
    Json mean = first;
    for (auto entry = mean.begin(); entry != mean.end(); ++entry) {
      std::vector<Json> parts;
      for (const Json& one : all)
        parts.push_back(first.is_object() ? one.at(entry.key()) : one.at(static_cast<std::size_t>(entry - mean.begin())));
      *entry = mean_of(parts);
    }
    return mean;
  }
  double sum = 0;
  for (const Json& one : all) sum += one.is_number() ? one.get<double>() : std::nan("");
  return json_number(sum / static_cast<double>(all.size()));
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
    at::set_num_threads(rank_threads(recipe.integer("run.threads"), ranks_on_own_cpus(*ranks.split_by_node())));
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
    const Grid grid{dataset, config, k, static_cast<int>(recipe.integer("evaluate.bootstrap"))};
    const bool one_point =
        std::all_of(trials.begin(), trials.end(), [&](const Trial& trial) { return trial.point == trials.front().point; });
    const auto is_there = [](const std::string& file) { return std::filesystem::exists(file); };
    const auto mine = [&](std::size_t i) { return static_cast<int>(i % static_cast<std::size_t>(ranks.size())) == ranks.rank(); };
    for (std::size_t i = 0; i < trials.size(); ++i) {
      if (mine(i) && !(is_there(trials[i].file) && (!one_point || is_there(trials[i].test_file()))))
        run_trial(grid, trials[i], one_point);
    }
    ranks.barrier();

    // Every rank chooses the same point, by the valid rows, and the seeds of that one alone are scored on test.
    std::map<Point, std::vector<Json>> results;
    for (const Trial& trial : trials) results[trial.point].push_back(read_trial(trial.file, "judged"));
    const auto score = [](const std::vector<Json>& of) { return mean_of(of)["judged"].get<double>(); };
    const auto best = std::max_element(results.begin(), results.end(),
                                       [&](const auto& a, const auto& b) { return score(a.second) < score(b.second); });
    for (std::size_t i = 0; i < trials.size(); ++i) {
      if (trials[i].point == best->first && mine(i) && !is_there(trials[i].test_file())) run_trial(grid, trials[i], true);
    }
    ranks.barrier();
    if (ranks.rank() != 0) return 0;

    std::vector<Json> tests;
    for (const Trial& trial : trials) {
      if (trial.point == best->first) tests.push_back(read_trial(trial.test_file(), "test"));
    }
    Table table({"point", "valid AUC", "valid UAUC", "chosen"});
    const auto number = [](const Json& value) { return value.is_number() ? value.get<double>() : std::nan(""); };
    for (const auto& [point, of] : results) {
      const Json valid = mean_of(of)["valid"];
      table.add_row({describe(point), format_number(number(valid["auc"]), 4), format_number(number(valid["uauc"]), 4),
                     point == best->first ? "*" : ""});
    }
    std::fputs(table.text().c_str(), stdout);
    const Json means = mean_of(tests), test = means["test"];
    const Json chosen = {{"kind", config.kind},
                         {"learning_rate", best->first.learning_rate},
                         {"width", best->first.width},
                         {"weight_decay", best->first.weight_decay},
                         {"seeds", best->second.size()},
                         {"points", results.size()},
                         {"rows", dataset.rows(Split::kTest).size()},
                         {"k", k},
                         {"valid", mean_of(best->second)["valid"]},
                         {"test", test},
                         {"difference", means["difference"]},
                         {"trials", best->second}};
    write_file_atomic((output / "chosen.json").string(), chosen.dump(1) + "\n");
    const std::string ndcg = fmt::format("ndcg@{}", k), map = fmt::format("map@{}", k);
    const std::string result =
        fmt::format("{}, {}, mean of {} seeds on test: AUC {:.4f} UAUC {:.4f} NDCG@{} {:.4f} MAP@{} {:.4f}\n", config.kind,
                    describe(best->first), best->second.size(), number(test["auc"]), number(test["uauc"]), k, number(test[ndcg]),
                    k, number(test[map]));
    std::fputs(result.c_str(), stdout);
    flush_output();
    return 0;
  });
}
