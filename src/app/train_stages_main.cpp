// thinkrec_train_stages, which thinkrec_train becomes: all stages of a run, on any number of ranks, and the dry run.

#include <filesystem>
#include <optional>

#include "app/programs.h"
#include "app/ranked_program.h"
#include "comm/watchdog.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/log.h"
#include "core/recipe_options.h"
#include "io/file.h"
#include "train/dry_run.h"
#include "train/recipe_phases.h"
#include "train/run.h"
#include "train/stop.h"

namespace {

using namespace thinkrec;

/// The recipe of a run that can begin: kConfig with every reason why it cannot.
Recipe load_recipe(const CommandLine& line) {
  return Recipe::load(line.text("config"), train_sets(line), recipe_options(), recipe_conflicts);
}

/// --dry-run, in this process alone. Code 78 when the run would not work.
int forecast(const CommandLine& line, const RunPlan& plan) {
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
  const DryRun run = dry_run(load_recipe(line), setting);
  std::fputs(run.text.c_str(), stdout);
  std::fflush(stdout);
  if (line.has("json")) write_file_atomic(line.text("json"), run.json.dump(1) + "\n");
  if (run.problems.empty()) return 0;
  fail(ExitCode::kConfig, "{}", joined(run.problems, "\n"));
}

int run(int argc, char** argv, std::unique_ptr<World>& world) {
  const CommandLine line = read_command_line(train_program(), argc, argv);
  if (line.finished()) return 0;
  line.required("config");
  const RunPlan plan = read_run_plan(line.text("stages"), line.text("experts"));
  if (line.flag("dry-run")) return forecast(line, plan);
  for (const char* option : {"ranks", "ranks-per-node", "gpu", "memory", "mfu", "json"}) {
    if (line.has(option))
      fail(ExitCode::kUsage, "--{} goes with --dry-run{}", option,
           std::string(option) == "ranks" ? "; start ranks by launch/run.sh or mpirun" : "");
  }
  world = std::make_unique<World>(argc, argv);
  install_stop_handlers();
  init_log("thinkrec_train", world->all().rank());
  const std::string run_dir = line.required("run-dir");
  Recipe recipe = load_recipe(line);
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
                                     },
                                     recipe.real("run.collective_timeout")},
                     world->all());
    watched = watchdog->watch(world->all());
  }
  StatusFile status(status_path, world->all().rank() == 0);
  status.running("start");
  try {
    const Session session(std::move(recipe), run_dir, watched ? *watched : world->all(),
                          {watchdog ? &*watchdog : nullptr, &faults, &status});
    run_stages(session, plan);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kPeerLost) world->let_cause_speak(error.code());  // status.json is then that rank's
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
