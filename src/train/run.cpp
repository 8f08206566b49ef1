#include "train/run.h"

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "core/build_info.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/log.h"
#include "core/recipe_options.h"
#include "core/utc_time.h"
#include "io/file.h"
#include "report/html.h"
#include "train/calibration.h"
#include "train/prompt_room.h"
#include "train/stop.h"

namespace thinkrec {
namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* kCalibrationFile = "calibration.json";
using Json = nlohmann::json;

/// Seconds of each stage over all lives of the run but those that were killed or failed; a stage found finished keeps the time it took when it ran.
class Timings {
 public:
  explicit Timings(const Session& session) : path_(session.path("timings.json")), active_(session.leader()) {
    if (!active_ || !std::filesystem::exists(path_)) return;
    values_ = Json::parse(read_file(path_, 1 << 20), nullptr, false);
    if (!values_.is_object()) values_ = Json::object();
  }
  /// An evaluation begins anew each time: its time takes the place of an earlier one's.
  void add(const std::string& stage, double seconds) {
    if (!active_) return;
    values_[stage] = (stage == "evaluate" ? 0.0 : values_.value(stage, 0.0)) + seconds;
    write_file_atomic(path_, values_.dump(1) + "\n");
  }
  const Json& values() const { return values_; }

 private:
  std::string path_;
  bool active_;
  Json values_ = Json::object();
};

/// run.json: what made this run, for its report and for whoever finds its folder. Of the last life, when it was resumed.
void write_origin(const Session& session) {
  const Recipe& recipe = session.recipe();
  const nlohmann::ordered_json origin = {{"thinkrec", program_version()},
                                         {"commit", program_commit()},
                                         {"started", utc_time()},
                                         {"seed", session.seed()},
                                         {"ranks", session.world().size()},
                                         {"threads", session.threads()},
                                         {"device", session.device().str()},
                                         {"hashes",
                                          {{"recipe", recipe.hash()},
                                           {"data set", session.dataset().hash()},
                                           {"model", session.model_hash()},
                                           {"tokenizer", session.tokenizer().hash()}}},
                                         {"changed", recipe.changed()}};
  write_file_atomic(session.path("run.json"), origin.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  log_info("thinkrec {}, commit {}; recipe {}: {}; all of it: {}", program_version(), program_commit(),
           recipe.hash().substr(0, 12), joined(recipe.changed(), ", "), session.path("recipe.yaml"));
}

/// Of what this run still trains and scores. Where a phase has begun already, in a version that did not look, it is only said.
void check_prompt_room(const Session& session, const RunPlan& plan) {
  const auto problem_of = [&](const std::set<std::string>& stages) {
    return prompt_room_problem(session.dataset(), session.tokenizer(), session.recipe(), stages);
  };
  if (problem_of(plan.stages).empty()) return;
  // What is finished reads nothing any more. Its checkpoints are looked at only now: a start seldom comes here.
  std::set<std::string> stages = plan.stages;
  bool begun = false;
  const auto look_at = [&](const char* stage, const std::vector<PhaseConfig>& phases) {
    if (!stages.contains(stage)) return;
    bool all_done = true;
    for (const PhaseConfig& phase : phases) {
      const ResumePoint point = resume_points(session, std::span(&phase, 1))[0];
      begun |= point.step > 0 && !point.done;
      all_done &= point.done;
    }
    if (all_done) stages.erase(stage);
  };
  std::vector<PhaseConfig> global, experts;
  if (!session.inherits()) {
    for (std::int64_t i = 0; i < phase_count(session.recipe()); ++i) global.push_back(activate_phase(session.recipe(), i));
    look_at("activate", global);
  }
  for (int e = 0; e < session.recipe().integer("group.count"); ++e)
    experts.push_back(expert_phase(session.recipe(), session.model().config().layers, e));
  look_at("expert", experts);
  if (stages.empty()) return;  // an empty set would stand for all
  const std::string problem = problem_of(stages);
  if (problem.empty()) return;
  if (!begun) fail(ExitCode::kBadData, "{}", problem);
  log_warning("{}; the run goes on until it meets one", problem);
}

}  // namespace

void run_stages(const Session& session, const RunPlan& plan) {
  if (session.leader()) write_origin(session);
  MetricsLog log(session.path("metrics.jsonl"), session.leader(), session.path("tensorboard"));
  log.gather();
  Timings timings(session);
  RunState state;
  const auto wanted = [&](const char* stage) { return plan.stages.contains(stage); };
  const auto mode = [&](const char* stage) { return wanted(stage) ? StageMode::kTrain : StageMode::kLoad; };
  const auto needed = [&](std::initializer_list<const char*> stages) {
    return std::any_of(stages.begin(), stages.end(), wanted);
  };
  const auto timed = [&](const char* stage, const auto& body) {
    const auto start = Clock::now();
    const auto add_time = [&] {
      if (state.worked) timings.add(stage, std::chrono::duration<double>(Clock::now() - start).count());
    };
    if (wanted(stage) && session.status() != nullptr) session.status()->running(stage);
    session.enter_stage(stage);
    state.worked = false;
    try {
      body();
    } catch (const Error& error) {
      if (error.code() == ExitCode::kStopped) add_time();
      throw;
    }
    add_time();
    if (!state.stopped) return;
    fail(ExitCode::kStopped, "stopped on request during '{}'; the same command goes on from the checkpoint in {}", stage,
         session.run_dir());
  };
  on_rank_zero(session.world(), [&] { check_prompt_room(session, plan); });
  timed("encode", [&] { encode_stage(session, mode("encode"), log, state); });
  if (needed({"activate", "expert", "evaluate"}))
    timed("activate", [&] { activate_stage(session, mode("activate"), log, state); });
  if (needed({"group", "expert", "evaluate"})) timed("group", [&] { group_stage(session, mode("group"), log, state); });
  if (needed({"expert", "evaluate"})) timed("expert", [&] { expert_stage(session, mode("expert"), plan.experts, log, state); });
  if (wanted("evaluate")) {
    Evaluation evaluation;
    timed("evaluate", [&] {
      state.worked = true;
      state.calibration = calibrate(session, state);
      evaluation = evaluate(session, state, parse_split(session.recipe().text("evaluate.split")), false);
      if (!session.leader()) return;
      save_calibration(session.path(kCalibrationFile), state.calibration);
      write_file_atomic(session.path("scores.csv"), scores_csv(session, evaluation));
    });
    if (session.leader()) {
      evaluation.json["timings"] = timings.values();  // the evaluation's own among them
      write_file_atomic(session.path("evaluation.json"), evaluation.json.dump(1) + "\n");
      std::fputs(evaluation.table.c_str(), stdout);
      std::fflush(stdout);
    }
  }
  session.enter_stage("report");
  if (session.leader()) {
    write_report(session.run_dir());
    log_info("report: {}", session.path("report.html"));
  }
}

RunState load_run(const Session& session) {
  MetricsLog silent("", false);
  RunState state;
  encode_stage(session, StageMode::kLoad, silent, state);
  activate_stage(session, StageMode::kLoad, silent, state);
  group_stage(session, StageMode::kLoad, silent, state);
  expert_stage(session, StageMode::kLoad, {}, silent, state);
  state.calibration = load_calibration(session.path(kCalibrationFile));
  if (session.recipe().integer("evaluate.calibration_rows") > 0 && session.leader() &&
      !std::filesystem::exists(session.path("evaluation.json")))
    log_warning("{}: not calibrated yet, though evaluate.calibration_rows is set; the stage evaluate does it", session.run_dir());
  return state;
}

Session open_run(const std::string& run_dir, const std::vector<std::string>& sets, Collectives& world) {
  const std::string recipe = (std::filesystem::path(run_dir) / "recipe.yaml").string();
  if (!std::filesystem::exists(recipe))
    fail(ExitCode::kNoInput, "{}: no run directory (it has no recipe.yaml); make one with thinkrec_train", run_dir);
  return Session(Recipe::load(recipe, sets, recipe_options()), run_dir, world);
}

}  // namespace thinkrec
