// thinkrec_train_stages, which thinkrec_train becomes: all stages of a run, on any number of ranks, and the dry run.

#include <filesystem>
#include <optional>

#include "app/programs.h"
#include "app/ranked_program.h"
#include "comm/watchdog.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/recipe_options.h"
#include "io/file.h"
#include "train/dry_run.h"
#include "train/run.h"
#include "train/stop.h"

namespace {

using namespace thinkrec;

RunPlan plan_of(const CommandLine& line) {
  RunPlan plan;
  for (const std::string& stage : split_list(line.text("stages"))) {
    const std::vector<std::string> names(std::begin(kStageNames), std::end(kStageNames));
    if (std::find(names.begin(), names.end(), stage) == names.end()) {
      fail(ExitCode::kUsage, "--stages: there is no stage '{}'{}; the stages are encode, activate, group, expert, evaluate",
           stage, suggestion(stage, names));
    }
    plan.stages.insert(stage);
  }
  for (const std::string& expert : split_list(line.text("experts"))) {
    const auto number = parse_integer(expert);
    if (!number || *number < 0 || *number > 1024)
      fail(ExitCode::kUsage, "--experts: '{}' is not the number of an expert", expert);
    plan.experts.insert(static_cast<int>(*number));
  }
  if (!plan.experts.empty() && plan.stages.contains("evaluate"))
    fail(ExitCode::kUsage, "--experts trains some experts only; leave evaluate out of --stages");
  return plan;
}

/// --dry-run, in this process alone. Code 78 when the run would not work.
int forecast(const CommandLine& line, const std::vector<std::string>& sets, const RunPlan& plan) {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* size = std::getenv(variable); size != nullptr && std::string(size) != "1")
      fail(ExitCode::kUsage, "--dry-run is one process: leave mpirun out and give --ranks {}", size);
  }
  DryRunSetting setting;
  setting.ranks = static_cast<int>(line.integer("ranks"));
  setting.ranks_per_node = static_cast<int>(line.integer("ranks-per-node"));
  setting.gpu = line.text("gpu");
  setting.memory_gib = line.real("memory");
  setting.mfu = line.real("mfu");
  setting.run_dir = line.text("run-dir");
  setting.stages = plan.stages;
  init_log("thinkrec_train", 0);
  const DryRun run = dry_run(Recipe::load(line.text("config"), sets, recipe_options()), setting);
  std::fputs(run.text.c_str(), stdout);
  std::fflush(stdout);
  if (line.has("json")) write_file_atomic(line.text("json"), run.json.dump(1) + "\n");
  if (run.problems.empty()) return 0;
  std::string all;
  for (const std::string& problem : run.problems) all += (all.empty() ? "" : "\n") + problem;
  fail(ExitCode::kConfig, "{}", all);
}

int run(int argc, char** argv, std::unique_ptr<World>& world) {
  const CommandLine line = read_command_line(train_program(), argc, argv);
  if (line.finished()) return 0;
  const std::vector<std::string> sets = train_sets(line);
  line.required("config");
  const RunPlan plan = plan_of(line);
  if (line.flag("dry-run")) return forecast(line, sets, plan);
  for (const char* option : {"ranks", "ranks-per-node", "gpu", "memory", "mfu", "json"}) {
    if (line.has(option))
      fail(ExitCode::kUsage, "--{} goes with --dry-run{}", option,
           std::string(option) == "ranks" ? "; start ranks by launch/run.sh or mpirun" : "");
  }
  world = std::make_unique<World>(argc, argv);
  install_stop_handlers();
  init_log("thinkrec_train", world->all().rank());
  const std::string run_dir = line.required("run-dir");
  Recipe recipe = Recipe::load(line.text("config"), sets, recipe_options());
  if (line.text("resume") == "never" && std::filesystem::exists(std::filesystem::path(run_dir) / "recipe.yaml")) {
    fail(ExitCode::kUsage, "{} exists and --resume is never; use a new --run-dir", run_dir);
  }
  world->all().barrier();
  const auto lock = claim_run_dir(run_dir, recipe, world->all());
  FaultInjector faults(line.list("inject"), world->all().rank());
  const std::string status_path = (std::filesystem::path(run_dir) / "status.json").string();
  std::optional<Watchdog> watchdog;
  std::unique_ptr<Collectives> watched;
  if (const double limit = recipe.real("run.watchdog"); limit > 0) {
    watchdog.emplace(WatchdogOptions{(std::filesystem::path(run_dir) / "watch").string(), limit,
                                     recipe.real("run.watchdog_quiet"), recipe.flag("run.record_collectives"),
                                     [status_path](const std::string& what, std::int64_t step, const std::string& reason) {
                                       StatusFile::lost(status_path, what, step, reason);
                                     }},
                     world->all());
    watched = watchdog->watch(world->all());
  }
  StatusFile status(status_path, world->all().rank() == 0);
  try {
    const Session session(std::move(recipe), run_dir, watched ? *watched : world->all(),
                          {watchdog ? &*watchdog : nullptr, &faults, &status});
    run_stages(session, plan);
  } catch (const Error& error) {
    status.ended(error.code() == ExitCode::kStopped ? "stopped" : "failed", static_cast<int>(error.code()), error.what());
    throw;
  } catch (const std::exception& error) {
    status.ended("failed", static_cast<int>(ExitCode::kInternal), error.what());
    throw;
  }
  status.ended("done", 0, "");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_ranked_program("thinkrec_train", [&](std::unique_ptr<World>& world) { return run(argc, argv, world); });
}
