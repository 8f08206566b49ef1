#include "train/phase.h"

#include <chrono>
#include <limits>

#include "core/error.h"
#include "core/log.h"
#include "data/sampler.h"
#include "eval/metrics.h"
#include "io/file.h"
#include "train/scorer.h"
#include "train/stop.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The phase at work: its rows, engine and the best parameters so far.
class Phase {
 public:
  Phase(const Session& session, Collectives& team, const PhaseConfig& config, const PhaseRows& rows, const PromptBuilder& prompts,
        const FeatureBank* features, LoraAdapter& adapter, Projector& projector, MetricsLog& log, bool show_progress)
      : session_(session),
        team_(team),
        config_(config),
        rows_(rows),
        prompts_(prompts),
        log_(log),
        adapter_(adapter),
        parameters_(trainable(config, session, adapter, projector), config.weight_decay),
        engine_(session.model(), adapter, projector, features, parameters_, step_config(), team),
        scorer_(session.model(), projector, features, prompts.verdicts().yes, session.recipe().integer("run.micro_tokens"), team),
        sampler_(static_cast<std::int64_t>(rows.train.size()), static_cast<std::int64_t>(rows.reasons.size()),
                 session.recipe().real("mix.reason_share"), config.batch, session.seed() + 1000 * (config.stream + 1)),
        store_(session.store(config.folder)),
        progress_(config.stage, config.steps, show_progress && team.rank() == 0) {}

  PhaseEnd run() {
    resume();
    bool stop = false;
    while (step_ < config_.steps && !done_ && !stop) {
      const StepResult result = take_step();
      stop = result.stop;
      const bool last = step_ == config_.steps;
      if (last || (config_.validate_every > 0 && step_ % config_.validate_every == 0)) validate();
      if (!last && (stop || step_ % session_.recipe().integer("run.checkpoint_every") == 0)) save();
    }
    if (stop && step_ < config_.steps) return PhaseEnd::kStopped;
    if (!done_) finish();
    progress_.finish();
    return PhaseEnd::kDone;
  }

 private:
  static NamedTensors trainable(const PhaseConfig& config, const Session& session, LoraAdapter& adapter, Projector& projector) {
    NamedTensors all;
    if (config.train_lora) all = adapter.named(config.first_layer, session.model().config().layers);
    if (config.train_projector) {
      for (auto& named : projector.named()) all.push_back(named);
    }
    return all;
  }

  StepConfig step_config() const {
    StepConfig step;
    step.weights = session_.loss_weights();
    step.span = session_.recipe().text("loss.span") == "all" ? CeSpan::kAll : CeSpan::kAnswer;
    step.yes_token = prompts_.verdicts().yes;
    step.first_layer = config_.first_layer;
    step.train_projector = config_.train_projector;
    step.dropout = session_.recipe().real("lora.dropout");
    step.clip = config_.clip;
    step.seed = session_.seed() + config_.stream;
    step.micro_tokens = session_.recipe().integer("run.micro_tokens");
    step.strict = session_.strict();
    step.cache_bytes = config_.cache_mb << 20;
    return step;
  }

  void resume() {
    if (team_.rank() == 0) store_.clean();
    team_.barrier();
    const auto checkpoint = store_.load_latest();
    if (!checkpoint) return;
    step_ = checkpoint->step;
    done_ = checkpoint->facts.value("done", false);
    best_score_ = checkpoint->facts.contains("best_score") && checkpoint->facts["best_score"].is_number()
                      ? checkpoint->facts["best_score"].get<double>()
                      : -std::numeric_limits<double>::infinity();
    best_step_ = checkpoint->facts.value("best_step", std::int64_t{-1});
    skipped_ = checkpoint->facts.value("skipped", std::int64_t{0});
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

  /// load, forward, loss, backward, reduce, clip, update; the rest is logging.
  StepResult take_step() {
    const auto start = Clock::now();
    const auto draws = sampler_.step(step_);
    std::vector<EncodedRow> encoded;
    for (const Draw& draw : draws) {
      const auto index = static_cast<std::size_t>(draw.index);
      encoded.push_back(draw.reason ? prompts_.reason(*rows_.reasons[index]) : prompts_.recommendation(rows_.train[index]));
    }
    std::vector<StepRow> rows;
    for (std::size_t i = 0; i < draws.size(); ++i) rows.push_back({&encoded[i], draws[i].number});
    ++step_;
    const double rate =
        learning_rate(step_, config_.steps, std::min(config_.warmup, config_.steps), config_.peak_rate, config_.floor_rate);
    const StepResult result = engine_.run(step_, rows, rate, stop_requested());
    guard(result, rows);
    const double took = seconds_since(start);
    if (team_.rank() == 0) {
      log_.write(config_.stage, step_,
                 {{"loss", result.loss},
                  {"bce", result.bce},
                  {"ce", result.ce},
                  {"lr", rate},
                  {"grad_norm", result.gradient_norm},
                  {"rows_per_s", static_cast<double>(rows.size()) / took},
                  {"tokens_per_s", static_cast<double>(result.tokens) / took}});
    }
    progress_.update(step_, fmt::format("loss {:.4f} (bce {:.3f}, ce {:.3f}), {:.2f} rows/s", result.loss, result.bce, result.ce,
                                        static_cast<double>(rows.size()) / took));
    return result;
  }

  /// Ends the run when too many steps in a row were not finite.
  void guard(const StepResult& result, std::span<const StepRow> rows) {
    if (result.finite) {
      skipped_ = 0;
      return;
    }
    std::string ids;
    for (const StepRow& row : rows) ids += fmt::format("{}{}", ids.empty() ? "" : ", ", row.row->row);
    log_warning("{} step {}: loss {} or gradient norm {} is not finite; the step was skipped (rows {})", config_.stage, step_,
                result.loss, result.gradient_norm, ids);
    if (++skipped_ > session_.recipe().integer("run.skip_nonfinite")) {
      fail(ExitCode::kDiverged,
           "{}: {} steps in a row were not finite, the last with rows {}; lower the learning rate or look at these rows",
           config_.stage, skipped_, ids);
    }
  }

  void validate() {
    double score = 0;
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
      const auto or_half = [](double value) { return std::isfinite(value) ? value : 0.5; };  // one class only: no information
      score = or_half(metrics.auc) / 4 + or_half(metrics.uauc) / 3;
      if (team_.rank() == 0) {
        log_.write(config_.stage, step_, {{"valid_auc", metrics.auc}, {"valid_uauc", metrics.uauc}, {"valid_score", score}});
      }
    }
    if (best_.empty() || score > best_score_) {
      best_score_ = score;
      best_step_ = step_;
      best_ = parameters_.store("best/", true);
    }
  }

  Json facts() const { return {{"best_score", best_score_}, {"best_step", best_step_}, {"skipped", skipped_}, {"done", done_}}; }

  void save() {
    if (team_.rank() != 0) return;
    Checkpoint checkpoint{step_, facts(), parameters_.store("now/", false)};
    checkpoint.tensors.insert(checkpoint.tensors.end(), best_.begin(), best_.end());
    store_.save(checkpoint);
  }

  void finish() {
    if (best_.empty()) best_ = parameters_.store("best/", true);  // zero steps
    done_ = true;
    const Checkpoint final{step_, facts(), best_};
    parameters_.restore(final, "best/", true);
    if (team_.rank() == 0) store_.save(final);
    team_.barrier();
  }

  const Session& session_;
  Collectives& team_;
  const PhaseConfig& config_;
  const PhaseRows& rows_;
  const PromptBuilder& prompts_;
  MetricsLog& log_;
  const LoraAdapter& adapter_;
  ParameterSet parameters_;
  StepEngine engine_;
  Scorer scorer_;
  Sampler sampler_;
  CheckpointStore store_;
  Progress progress_;
  std::int64_t step_ = 0, best_step_ = -1, skipped_ = 0;
  double best_score_ = -std::numeric_limits<double>::infinity();
  bool done_ = false;
  std::vector<StoredTensor> best_;
};

}  // namespace

PhaseConfig read_phase(const Recipe& recipe, const std::string& prefix) {
  PhaseConfig config;
  config.steps = recipe.integer(prefix + "steps");
  config.batch = recipe.integer(prefix + "batch");
  config.peak_rate = recipe.real(prefix + "learning_rate");
  config.floor_rate = recipe.real(prefix + "min_learning_rate");
  config.warmup = recipe.integer(prefix + "warmup");
  config.weight_decay = recipe.real(prefix + "weight_decay");
  config.clip = recipe.real(prefix + "clip");
  config.validate_every = recipe.integer(prefix + "validate_every");
  return config;
}

std::int64_t resume_step(const Session& session, const PhaseConfig& config) {
  const auto checkpoint = session.store(config.folder).load_latest();
  return checkpoint ? checkpoint->step : 0;
}

PhaseEnd run_phase(const Session& session, Collectives& team, const PhaseConfig& config, const PhaseRows& rows,
                   const PromptBuilder& prompts, const FeatureBank* features, LoraAdapter& adapter, Projector& projector,
                   MetricsLog& log, bool show_progress) {
  return Phase(session, team, config, rows, prompts, features, adapter, projector, log, show_progress).run();
}

}  // namespace thinkrec
