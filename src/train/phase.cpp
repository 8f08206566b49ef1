#include "train/phase.h"

#include <ATen/record_function.h>

#include <chrono>
#include <limits>
#include <optional>

#include "checkpoint/writer.h"
#include "core/error.h"
#include "core/log.h"
#include "data/read_ahead.h"
#include "data/sampler.h"
#include "eval/metrics.h"
#include "io/file.h"
#include "train/agreed_checkpoint.h"
#include "train/peak.h"
#include "train/profile.h"
#include "train/scorer.h"
#include "train/step_guard.h"
#include "train/stop.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// A phase's own part of a training in which several phases may share the steps: its rows, parameters, checkpoints and best so far.
class Lane {
 public:
  Lane(const Session& session, Collectives& team, const PhaseLane& lane, const PhaseSources& sources,
       const PromptBuilder& prompts, Projector& projector, const Scorer& scorer, MetricsLog& log, bool show_progress)
      : session_(session),
        team_(team),
        config_(lane.config),
        sources_(sources),
        rows_(lane.rows),
        prompts_(prompts),
        scorer_(scorer),
        log_(log),
        adapter_(*lane.adapter),
        parameters_(trainable(lane.config, session, *lane.adapter, projector), lane.config.weight_decay),
        sampler_(users_of(session, rows_.train), session.recipe().integer("mix.rows_per_user"),
                 static_cast<std::int64_t>(rows_.reasons.size()), session.recipe().real("mix.reason_share"), config_.batch,
                 sampler_seed(session.recipe(), config_)),
        guard_(session.recipe().integer("run.skip_nonfinite"), session.recipe().real("run.skip_leaps")),
        store_(session.store(config_.folder)),
        writer_(store_),
        progress_(config_.stage, config_.steps, show_progress && team.rank() == 0) {
    resume(lane.from);
    if (!done_ && step_ < config_.steps)
      ahead_ = std::make_unique<ReadAhead<Batch>>(step_, config_.steps, [this](std::int64_t step) { return make(step); });
  }

  StepLane step_lane() { return {&adapter_, &parameters_}; }
  std::int64_t step() const { return step_; }
  /// Whether there is a step or a validation to come.
  bool open() const { return !done_ && (step_ < config_.steps || validation_due_); }
  bool validation_due() const { return validation_due_; }

  /// The rows of the next step. They stay valid until the next call.
  LaneRows next(std::size_t lane) {
    LaneRows part;
    part.lane = lane;
    const double before = ahead_->waited();
    batch_ = ahead_->next();
    waited_ = ahead_->waited() - before;
    // The stream is part of a row's number, so that two phases that share a step have dropout masks of their own.
    for (std::size_t i = 0; i < batch_.rows.size(); ++i)
      part.rows.push_back(
          {&batch_.rows[i], batch_.draws[i].number + (config_.stream << kStreamShift), 1, user_of(batch_.rows[i].row)});
    ++step_;
    part.loss_limit = guard_.loss_limit();
    part.learning_rate =
        learning_rate(step_, config_.steps, std::min(config_.warmup, config_.steps), config_.peak_rate, config_.floor_rate);
    return part;
  }

  /// Takes in what the step gave. `seconds` is what the step took, `rows` what it trained in all lanes, `peak_share` its speed over that of
  /// a matrix product on all ranks.
  void after_step(const StepResult& result, const LaneRows& part, double seconds, std::size_t rows, double peak_share) {
    guard(result, part);
    const double rate = static_cast<double>(rows) / seconds;
    if (team_.rank() == 0) {
      log_.write(config_.stage, step_,
                 {{"loss", result.loss},
                  {"bce", result.bce},
                  {"ce", result.ce},
                  {"lr", part.learning_rate},
                  {"grad_norm", result.gradient_norm},
                  {"rows_per_s", rate},
                  {"peak_share", peak_share},
                  {"wait_share", waited_ / seconds},  // of the step, on this rank: its rows were not ready
                  {"computed_share", static_cast<double>(result.computed) / static_cast<double>(result.tokens)},
                  {"tokens_per_s", rate * static_cast<double>(result.tokens) / static_cast<double>(part.rows.size())}});
    }
    progress_.update(step_, fmt::format("loss {:.4f} (bce {:.3f}, ce {:.3f}), {:.2f} rows/s", result.loss, result.bce, result.ce, rate),
                     validations_left());
    validation_due_ = step_ == config_.steps || step_ % steps_to_validation() == 0;
  }

  /// The validation that is due. False: a stop was asked for meanwhile, on all ranks alike, and it is due as before.
  bool validate() {
    const auto start = std::chrono::steady_clock::now();
    try {
      score_valid_rows();
    } catch (const Error& error) {
      if (error.code() != ExitCode::kStopped) throw;
      return false;
    }
    validation_due_ = false;
    validation_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    progress_.no_step();
    return true;
  }

  bool losing() const { return guard_.losing(); }

  /// A checkpoint, where one is due or the run stops, be it with the validation of this step still to come. Not amid steps that are not
  /// finite, of this phase or one that goes with it: if they end the run, all go on from before the first of them.
  void save_if_due(bool stop, bool any_losing) {
    save_due_ |= step_ % session_.recipe().integer("run.checkpoint_every") == 0;
    if (!done_ && (stop || (open() && save_due_ && !any_losing))) save();
    if (stop && team_.rank() == 0) {
      session_.enter_save();
      writer_.finish();
    }
  }

  /// After the last step: the parameters become the best ones.
  void finish() {
    if (!done_) {
      if (best_.empty()) best_ = parameters_.store("best/", true);  // zero steps
      done_ = true;
      const Checkpoint final{step_, facts(), best_};
      parameters_.restore(final, "best/", true);
      if (team_.rank() == 0) {
        session_.enter_save();
        writer_.save(final);
        writer_.finish();
      }
      team_.barrier();
    }
    progress_.finish();
  }

 private:
  static constexpr int kStreamShift = 40;  // 2^40 rows are more than any phase draws

  struct Batch {
    std::vector<Draw> draws;
    std::vector<EncodedRow> rows;  // of the draws
  };

  /// Runs on the thread that reads ahead: what it reads does not change.
  Batch make(std::int64_t step) const {
    Batch batch{sampler_.step(step), {}};
    for (const Draw& draw : batch.draws) {
      const auto index = static_cast<std::size_t>(draw.index);
      batch.rows.push_back(draw.reason ? prompts_.reason(*rows_.reasons[index]) : prompts_.recommendation(rows_.train[index]));
    }
    return batch;
  }
  static std::vector<std::int32_t> users_of(const Session& session, std::span<const std::int64_t> rows) {
    std::vector<std::int32_t> users;
    for (const std::int64_t row : rows) users.push_back(session.dataset().user[static_cast<std::size_t>(row)]);
    return users;
  }
  std::int64_t user_of(std::int64_t row) const { return session_.dataset().user[static_cast<std::size_t>(row)]; }

  static NamedTensors trainable(const PhaseConfig& config, const Session& session, const LoraAdapter& adapter,
                                const Projector& projector) {
    NamedTensors all;
    if (config.train_lora) all = adapter.named(config.first_layer, session.model().config().layers);
    const NamedTensors soft = projector.named_soft();
    for (auto& named : projector.named()) {
      const bool is_soft = !soft.empty() && named.first == soft[0].first;
      if (is_soft ? config.train_soft : config.train_projector) all.push_back(named);
    }
    return all;
  }

  void resume(std::int64_t from) {
    if (team_.rank() == 0) store_.clean();
    team_.barrier();
    const auto checkpoint = load_agreed(store_, from, team_);
    if (!checkpoint) return;
    step_ = checkpoint->step;
    done_ = checkpoint->facts.value("done", false);
    check_sources(checkpoint->facts);
    best_score_ = checkpoint->facts.contains("best_score") && checkpoint->facts["best_score"].is_number()
                      ? checkpoint->facts["best_score"].get<double>()
                      : -std::numeric_limits<double>::infinity();
    best_step_ = checkpoint->facts.value("best_step", std::int64_t{-1});
    guard_.restore(checkpoint->facts.at("guard"));
    validation_due_ = checkpoint->facts.value("validation_due", false);
    if (done_) {
      parameters_.restore(*checkpoint, "best/", true);
      return;
    }
    parameters_.restore(*checkpoint, "now/", false);
    for (const StoredTensor& tensor : checkpoint->tensors) {
      if (tensor.name.starts_with("best/")) best_.push_back(tensor);
    }
    if (team_.rank() == 0) log_info("{}: resumed at step {} of {}", config_.stage, step_, config_.steps);
  }

  /// Checkpoints of before sources were in them have none.
  void check_sources(const Json& facts) const {
    const auto differs = [&](const char* name, const std::string& now) { return facts.contains(name) && facts[name] != now; };
    if (differs("encoder", sources_.encoder)) {
      fail(
          ExitCode::kBadData,
          "{}: step {} was trained with another encoder than checkpoints/encode holds, which was made anew since; remove that and start on "
          "as many ranks and threads as at first, or use a new --run-dir",
          store_.folder(), step_);
    }
    if (!differs("reasons", sources_.reasons)) return;
    if (!done_)
      fail(ExitCode::kBadData,
           "{}: step {} was trained with other reasons than the data set has now; put the old ones back, or use a new --run-dir",
           store_.folder(), step_);
    if (team_.rank() == 0) {
      log_warning(
          "{}: was trained with other reasons than the data set has now, and stays as it is; a new --run-dir trains with these",
          config_.stage);
    }
  }

  /// Says which steps updated nothing; ends the run when too many were not finite.
  void guard(const StepResult& result, const LaneRows& part) {
    if (result.finite) guard_.add(result.loss);
    if (result.finite && !result.leapt) return;
    std::string ids;
    for (const StepRow& row : part.rows) ids += fmt::format("{}{}", ids.empty() ? "" : ", ", row.row->row);
    if (result.leapt) {
      log_warning("{} step {}: loss {} is above {} (run.skip_leaps); the step was skipped (rows {})", config_.stage, step_,
                  result.loss, part.loss_limit, ids);
      return;
    }
    log_warning("{} step {}: loss {} or gradient norm {} is not finite; the step was skipped (rows {})", config_.stage, step_,
                result.loss, result.gradient_norm, ids);
    const std::string why = guard_.lost(step_);
    if (why.empty()) return;
    const std::string path = session_.path("diverged.json");
    if (team_.rank() == 0) write_file_atomic(path, diverged(result, part).dump(1) + "\n");
    fail(ExitCode::kDiverged, "{}: {}, the last with the rows in {}; lower the learning rate or look at these rows",
         config_.stage, why, path);
  }

  /// The last step, row by row; null stands for what is not finite.
  Json diverged(const StepResult& result, const LaneRows& part) const {
    Json rows = Json::array();
    for (std::size_t i = 0; i < part.rows.size(); ++i) {
      const EncodedRow& row = *part.rows[i].row;
      rows.push_back({{"row", row.row},
                      {"reason", row.reason},
                      {"label", row.label},
                      {"tokens", row.token.size()},
                      {"loss", result.row_losses[i]}});
    }
    return {{"stage", config_.stage},
            {"step", step_},
            {"loss", result.loss},
            {"bce", result.bce},
            {"ce", result.ce},
            {"gradient_norm", result.gradient_norm},
            {"learning_rate", part.learning_rate},
            {"rows", std::move(rows)}};
  }

  /// From one validation to the next; the last step has one anyway.
  std::int64_t steps_to_validation() const { return config_.validate_every > 0 ? config_.validate_every : config_.steps; }

  /// For the time left. A row that is only scored costs about half of one that is trained, whose backward is a forward again: the base
  /// model has no gradients of its own.
  BesideSteps validations_left() const {
    const std::int64_t every = steps_to_validation();
    const auto left = static_cast<double>((config_.steps + every - 1) / every - (step_ - 1) / every);  // with that of this step
    if (validation_seconds_) return {.seconds = left * *validation_seconds_};
    return {.steps = left * static_cast<double>(rows_.valid.size()) / (2 * static_cast<double>(config_.batch))};
  }

  void score_valid_rows() {
    double score = 0;
    bool judged = false;
    session_.enter_validation();
    if (!rows_.valid.empty()) {
      std::vector<EncodedRow> encoded;
      ScoredRows scored;
      for (const std::int64_t row : rows_.valid) {
        encoded.push_back(prompts_.prompt(row));
        scored.user.push_back(session_.dataset().user[static_cast<std::size_t>(row)]);
        scored.label.push_back(session_.dataset().label[static_cast<std::size_t>(row)]);
      }
      scored.score = scorer_.score(encoded, scored.user, &adapter_);
      const RankingMetrics metrics = ranking_metrics(scored, static_cast<int>(session_.recipe().integer("evaluate.k")));
      score = selection_score(metrics);
      judged = std::isfinite(metrics.auc);
      if (team_.rank() == 0) {
        log_.write(config_.stage, step_, {{"valid_auc", metrics.auc}, {"valid_uauc", metrics.uauc}, {"valid_score", score}});
      }
    }
    // Valid rows of one label judge nothing: each set of parameters is as good as the one before, and more trained.
    if (best_.empty() || score > best_score_ || (score == best_score_ && !judged)) {
      best_score_ = score;
      best_step_ = step_;
      best_ = parameters_.store("best/", true);
    }
  }

  Json facts() const {
    return {{"best_score", best_score_},   {"best_step", best_step_},     {"guard", guard_.state()},          {"done", done_},
            {"encoder", sources_.encoder}, {"reasons", sources_.reasons}, {"validation_due", validation_due_}};
  }

  void save() {
    save_due_ = false;
    if (team_.rank() != 0) return;
    Checkpoint checkpoint{step_, facts(), parameters_.store("now/", false)};
    checkpoint.tensors.insert(checkpoint.tensors.end(), best_.begin(), best_.end());
    session_.enter_save();
    writer_.save(std::move(checkpoint));
  }

  const Session& session_;
  Collectives& team_;
  const PhaseConfig& config_;
  const PhaseSources& sources_;
  const PhaseRows& rows_;
  const PromptBuilder& prompts_;
  const Scorer& scorer_;
  MetricsLog& log_;
  const LoraAdapter& adapter_;
  ParameterSet parameters_;
  Sampler sampler_;
  StepGuard guard_;
  CheckpointStore store_;
  CheckpointWriter writer_;
  Progress progress_;
  std::optional<double> validation_seconds_;
  Batch batch_;
  std::int64_t step_ = 0, best_step_ = -1;
  double waited_ = 0;  // seconds of the step at hand, for its rows
  double best_score_ = -std::numeric_limits<double>::infinity();
  bool done_ = false, save_due_ = false, validation_due_ = false;
  std::vector<StoredTensor> best_;
  std::unique_ptr<ReadAhead<Batch>> ahead_;  // last, so that its thread ends first
};

StepConfig step_config(const Session& session, const PhaseConfig& config, std::int32_t yes_token) {
  StepConfig step;
  step.weights = session.loss_weights();
  step.span = session.recipe().text("loss.span") == "all" ? CeSpan::kAll : CeSpan::kAnswer;
  step.yes_token = yes_token;
  step.first_layer = config.first_layer;
  step.train_inputs = config.train_projector || config.train_soft;
  step.dropout = session.recipe().real("lora.dropout");
  step.clip = config.clip;
  step.seed = session.seed();
  step.micro_tokens = session.recipe().integer("run.micro_tokens");
  step.recompute = session.recipe().flag("run.activation_checkpointing");
  step.share = session.recipe().integer("mix.rows_per_user") > 1;
  step.strict = session.strict();
  step.cache_bytes = config.cache_mb << 20;
  return step;
}

}  // namespace

std::vector<ResumePoint> resume_points(const Session& session, std::span<const PhaseConfig> phases) {
  const auto point = [](const Checkpoint& checkpoint) {
    return ResumePoint{checkpoint.step, checkpoint.facts.value("validation_due", false), checkpoint.facts.value("done", false)};
  };
  std::vector<ResumePoint> newest;
  for (const PhaseConfig& phase : phases) {
    const auto checkpoint = session.store(phase.folder).load_latest();
    newest.push_back(checkpoint ? point(*checkpoint) : ResumePoint());
  }
  const auto [first, last] = std::ranges::minmax(newest, {}, &ResumePoint::step);
  const std::int64_t least = first.step, most = last.step;
  if (least == most) return newest;
  if (least == 0) {  // back to the start only from the first checkpoint: what is further was not trained with the others
    const bool any_done = std::ranges::any_of(newest, &ResumePoint::done);
    const bool from_first = !any_done && most <= session.recipe().integer("run.checkpoint_every");
    return from_first ? std::vector<ResumePoint>(newest.size()) : newest;
  }
  std::vector<ResumePoint> common = newest;
  try {
    for (std::size_t i = 0; i < newest.size(); ++i) {
      if (newest[i].step != least) common[i] = point(session.store(phases[i].folder).load_step(least));
    }
  } catch (const Error&) {
    return newest;
  }
  return common;
}

PhaseEnd run_phases(const Session& session, Collectives& team, std::span<const PhaseLane> phases, const PhaseSources& sources,
                    const PromptBuilder& prompts, const FeatureBank* features, Projector& projector, MetricsLog& log,
                    bool show_progress) {
  THINKREC_CHECK(!phases.empty(), "no phase to run");
  Scorer scorer(session.model(), projector, features, prompts.verdicts().yes, session.recipe().integer("run.micro_tokens"), team);
  scorer.stop_when(stop_requested);
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<StepLane> step_lanes;
  for (const PhaseLane& phase : phases) {
    // One progress line is enough for phases that go together.
    lanes.push_back(
        std::make_unique<Lane>(session, team, phase, sources, prompts, projector, scorer, log, show_progress && lanes.empty()));
    step_lanes.push_back(lanes.back()->step_lane());
  }
  const StepConfig config = step_config(session, phases[0].config, prompts.verdicts().yes);
  StepEngine engine(session.model(), step_lanes, projector, features, config, team);
  StepProfiler profiler(session, phases[0].config.stage);
  const PassKind kind{
      .first_layer = config.first_layer, .train_inputs = config.train_inputs, .lora_rank = session.lora().lora_rank};
  const auto open = [&] { return std::any_of(lanes.begin(), lanes.end(), [](const auto& lane) { return lane->open(); }); };
  // All ranks come here at once: where they share cores, they share them in this, too.
  const double peak = open() ? product_peak(session.model().weights().head.options()) * team.size() : 0;
  for (const auto& lane : lanes) {  // a life before was stopped in them
    if (!lane->validation_due()) continue;
    if (!lane->validate()) return PhaseEnd::kStopped;
    lane->save_if_due(true, false);  // so that it is not made a second time
  }
  while (true) {
    // The lanes that are furthest back go next, together: all of them, unless they go on from different steps.
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (const auto& lane : lanes) {
      if (lane->open()) least = std::min(least, lane->step());
    }
    if (least == std::numeric_limits<std::int64_t>::max()) break;
    std::vector<LaneRows> parts;
    std::size_t rows = 0;
    profiler.before(least + 1);
    const auto start = Clock::now();
    {
      RECORD_USER_SCOPE("step: load");
      for (std::size_t i = 0; i < lanes.size(); ++i) {
        if (!lanes[i]->open() || lanes[i]->step() != least) continue;
        parts.push_back(lanes[i]->next(i));
        rows += parts.back().rows.size();
      }
    }
    const StepFault fault = session.enter_step(phases[0].config.stage, least + 1);
    const auto results = engine.run(least + 1, parts, stop_requested(), fault);
    const double seconds = seconds_since(start);
    profiler.after(least + 1);
    const double share = step_flops(session.model().config(), kind, config.span, parts) / seconds / peak;
    for (std::size_t p = 0; p < parts.size(); ++p) lanes[parts[p].lane]->after_step(results[p], parts[p], seconds, rows, share);
    const bool losing = std::ranges::any_of(parts, [&](const LaneRows& part) { return lanes[part.lane]->losing(); });
    bool stop = results[0].stop;
    for (const LaneRows& part : parts) {
      Lane& lane = *lanes[part.lane];
      if (lane.validation_due() && !stop) stop = !lane.validate();
    }
    for (const LaneRows& part : parts) lanes[part.lane]->save_if_due(stop, losing);
    if (stop && open()) return PhaseEnd::kStopped;
  }
  session.enter_stage(phases[0].config.stage);
  for (const auto& lane : lanes) lane->finish();
  return PhaseEnd::kDone;
}

}  // namespace thinkrec
