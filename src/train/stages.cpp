#include "train/stages.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/joined.h"
#include "core/log.h"
#include "data/sampler.h"
#include "eval/metrics.h"
#include "experts/schedule.h"
#include "io/file.h"
#include "train/agreed_checkpoint.h"
#include "train/recipe_phases.h"
#include "train/stop.h"

#include <ATen/ATen.h>

namespace thinkrec {
namespace {

constexpr const char* kHeldOut = "held_out";  // scores, in the checkpoint of the encoder

/// Between epochs, which have no checkpoints of their own. Collective, and a sign of life.
void stop_if_asked(const Session& session, const std::string& stage) {
  std::int64_t asked = stop_requested() ? 1 : 0;
  session.world().all_reduce_max(std::span(&asked, 1));
  if (asked != 0) fail(ExitCode::kStopped, "stopped on request during '{}'; the same command begins this stage anew", stage);
}

/// Trains the encoder on the data set's train rows and keeps the epoch that scores its valid rows best.
std::unique_ptr<Encoder> train_and_report(const Session& session, const EncoderConfig& config, const Dataset& dataset,
                                          const std::string& stage, MetricsLog& log) {
  log.resume(stage, 0);
  ScoredRows scored;
  for (const std::int64_t row : dataset.rows(Split::kValid)) {
    scored.user.push_back(dataset.user[static_cast<std::size_t>(row)]);
    scored.label.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  RankingMetrics metrics;
  const auto score_valid = [&](std::span<const double> scores) {
    scored.score.assign(scores.begin(), scores.end());
    metrics = ranking_metrics(scored, 5);
    return selection_score(metrics);
  };
  Progress progress(stage, config.max_epochs, session.leader());
  const auto report = [&](const EncoderProgress& epoch) {
    stop_if_asked(session, stage);
    if (epoch.warm_start) return;
    if (session.leader()) {
      log.write(stage, epoch.epoch, {{"loss", epoch.train_loss}, {"valid_auc", metrics.auc}, {"valid_uauc", metrics.uauc}});
    }
    progress.update(epoch.epoch,
                    fmt::format("loss {:.4f}, valid AUC {:.4f} UAUC {:.4f}", epoch.train_loss, metrics.auc, metrics.uauc));
  };
  // Strict: every rank trains the whole encoder, so that no sum depends on how rows were shared.
  auto encoder = session.strict() ? train_encoder_alone(config, dataset, score_valid, report)
                                  : train_encoder(config, dataset, session.world(), score_valid, report);
  progress.finish();
  return encoder;
}

/// Each train row scored by an encoder that was trained on the other folds; the rows stay in the histories.
HeldOutScores held_out_scores(const Session& session, const EncoderConfig& config, MetricsLog& log) {
  const auto& train = session.dataset().rows(Split::kTrain);
  const std::int64_t folds = session.recipe().integer("features.folds");
  const auto count = static_cast<std::int64_t>(train.size());
  if (count < folds) fail(ExitCode::kConfig, "features.folds is {}, but there are only {} train rows", folds, count);
  HeldOutScores scores(train.size());
  for (std::int64_t fold = 0; fold < folds; ++fold) {
    Dataset rest = session.dataset();
    auto& targets = rest.splits[static_cast<std::size_t>(Split::kTrain)];
    targets.clear();
    std::vector<std::int64_t> held;
    std::vector<std::size_t> place;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = train[static_cast<std::size_t>(i)];
      if (permuted(i, count, session.seed(), 11, 0) % folds == fold) {
        held.push_back(row);
        place.push_back(static_cast<std::size_t>(i));
      } else {
        targets.push_back(row);
      }
    }
    const auto encoder = train_and_report(session, config, rest, fmt::format("encode/fold-{}", fold), log);
    const auto of_held = encoder->scores(session.dataset(), held);
    for (std::size_t i = 0; i < held.size(); ++i) scores[place[i]] = static_cast<float>(of_held[i]);
  }
  return scores;
}

[[noreturn]] void unfinished(const Session& session, const std::string& stage) {
  fail(ExitCode::kNoInput, "{}: the stage '{}' has not finished; run thinkrec_train with this run directory first",
       session.run_dir(), stage);
}

double embedding_rms(const Llama& model) {
  return std::sqrt(model.weights().embedding.to(at::kFloat).square().mean(at::kDouble).item<double>());
}

std::vector<const Reason*> all_reasons(const Dataset& dataset) {
  std::vector<const Reason*> reasons;
  for (const Reason& reason : dataset.reasons) reasons.push_back(&reason);
  return reasons;
}

std::vector<std::int64_t> train_sample(const Session& session) {
  return sample_train_rows(session.dataset(), session.recipe().integer("mix.train_rows"),
                           session.recipe().integer("mix.rows_per_user"), session.seed());
}

std::vector<std::int64_t> valid_sample(const Session& session) {
  return sample_rows(session.dataset(), Split::kValid, session.recipe().integer("valid.rows"),
                     session.recipe().integer("valid.rows_per_user"), session.seed());
}

/// Loads a finished phase without training.
void load_phase(const Session& session, const CheckpointStore& store, const PhaseConfig& config, LoraAdapter& adapter,
                Projector& projector) {
  const auto checkpoint = load_latest(store, session.world());
  if (!checkpoint || !checkpoint->facts.value("done", false)) unfinished(session, config.stage);
  const at::NoGradGuard no_grad;
  const NamedTensors best = tensors_with_prefix(*checkpoint, "best/");
  NamedTensors targets = adapter.named();
  for (const auto& named : projector.named()) targets.push_back(named);
  for (const auto& [name, value] : best) {
    const auto target = std::find_if(targets.begin(), targets.end(), [&](const auto& named) { return named.first == name; });
    if (target == targets.end() || target->second.sizes() != value.sizes()) {
      fail(ExitCode::kBadData, "checkpoint of '{}': tensor '{}' does not fit this model", config.stage, name);
    }
    target->second.copy_(value);
  }
}

PhaseConfig expert_phase(const Session& session, int expert) {
  return expert_phase(session.recipe(), session.model().config().layers, expert);
}

PhaseSources sources(const Session& session, const RunState& state) {
  const auto digest = [](const float* values, std::size_t count) {
    return sha256_hex({reinterpret_cast<const char*>(values), count * sizeof(float)});
  };
  std::string encoder = digest(state.held_out.data(), state.held_out.size());
  for (const auto& [name, tensor] : state.encoder->parameters()) {
    const StoredTensor values = store_tensor(name, tensor);
    encoder += name + digest(values.values.data(), values.values.size());
  }
  return {sha256_hex(encoder), session.recipe().real("mix.reason_share") > 0 ? session.dataset().reasons_hash() : ""};
}

/// resume_points, as rank 0 finds them, on every rank: ranks that saw different checkpoints would go on from different steps.
std::vector<ResumePoint> agreed_resume_points(const Session& session, std::span<const PhaseConfig> phases) {
  std::vector<ResumePoint> points(phases.size());
  on_rank_zero(session.world(), [&] { points = resume_points(session, phases); });
  session.world().broadcast(std::as_writable_bytes(std::span(points)), 0);
  return points;
}

/// The log without what this life makes again: the steps behind the checkpoint, and its validation, where that is due.
void resume_log(MetricsLog& log, const std::string& stage, const ResumePoint& from) {
  log.resume(stage, from.step, from.validation_due ? "valid_auc" : "");
}

/// teams.json, for the report: by stage, the ranks that train it. What was finished before keeps its entry; `from`: resume_points.
void write_teams(const Session& session, const ExpertPlan& plan, const std::vector<int>& queue,
                 const std::vector<ResumePoint>& from) {
  const std::string path = session.path("teams.json");
  nlohmann::json teams = nlohmann::json::object();
  if (std::filesystem::exists(path)) teams = nlohmann::json::parse(read_file(path, 1 << 20), nullptr, false);
  if (!teams.is_object()) teams = nlohmann::json::object();
  for (std::size_t t = 0; t < plan.experts_of_team.size(); ++t) {
    const auto& team_of = plan.team_of_rank;
    const auto first = std::find(team_of.begin(), team_of.end(), static_cast<int>(t));
    for (const int q : plan.experts_of_team[t]) {
      const PhaseConfig config = expert_phase(session, queue[static_cast<std::size_t>(q)]);
      if (teams.contains(config.stage) && from[static_cast<std::size_t>(q)].step >= config.steps) continue;
      teams[config.stage] = {{"first_rank", first - team_of.begin()},
                             {"ranks", std::count(first, team_of.end(), static_cast<int>(t))}};
    }
  }
  write_file_atomic(path, teams.dump(1) + "\n");
}

}  // namespace

std::int64_t first_expert_layer(const Session& session) {
  return first_expert_layer(session.recipe(), session.model().config().layers);
}

PromptConfig final_prompt(const Session& session) {
  return session.prompt(phase_template(session.recipe(), phase_count(session.recipe()) - 1));
}

std::unique_ptr<FeatureBank> feature_bank(const RunState& state, const Dataset& dataset) {
  return std::make_unique<FeatureBank>(*state.encoder, dataset, state.held_out.empty() ? nullptr : &state.held_out);
}

void encode_stage(const Session& session, StageMode mode, MetricsLog& log, RunState& state) {
  const EncoderConfig config = encoder_config(session.recipe(), session.recipe().text("encoder.kind"));
  const CheckpointStore store = session.global_store("encode");
  if (session.inherits()) mode = StageMode::kLoad;
  if (session.leader() && !session.inherits()) store.clean();
  session.world().barrier();
  if (const auto checkpoint = load_latest(store, session.world())) {
    state.encoder = restore_encoder(config, session.dataset(), tensors_with_prefix(*checkpoint, "encoder/"));
    for (const StoredTensor& tensor : checkpoint->tensors) {
      if (tensor.name == kHeldOut) state.held_out = tensor.values;
    }
  } else if (mode == StageMode::kLoad) {
    unfinished(session, "encode");
  } else {
    state.worked = true;
    state.encoder = train_and_report(session, config, session.dataset(), "encode", log);
    if (session.recipe().flag("features.statistics")) state.held_out = held_out_scores(session, config, log);
    if (session.leader()) {
      Checkpoint made{1, {{"done", true}}, {}};
      for (const auto& [name, tensor] : state.encoder->parameters())
        made.tensors.push_back(store_tensor("encoder/" + name, tensor));
      if (!state.held_out.empty())
        made.tensors.push_back({kHeldOut, {static_cast<std::int64_t>(state.held_out.size())}, state.held_out});
      store.save(made);
    }
    session.world().barrier();
  }
  state.features = feature_bank(state, session.dataset());
}

void activate_stage(const Session& session, StageMode mode, MetricsLog& log, RunState& state) {
  THINKREC_CHECK(state.features != nullptr, "encode comes before activate");
  if (session.inherits()) mode = StageMode::kLoad;
  state.global = session.first_adapter().to(session.device());
  ProjectorConfig projector{session.recipe().integer("projector.expansion"), session.recipe().flag("projector.match_scale")};
  state.projector = Projector(state.features->width(), session.model().config().width, projector, embedding_rms(session.model()),
                              session.seed(), most_soft_tokens(session.recipe()))
                        .to(session.device());
  PhaseRows rows{train_sample(session), all_reasons(session.dataset()), valid_sample(session)};
  if (rows.reasons.empty() && session.recipe().real("mix.reason_share") > 0) {
    log_warning("the data set has no reasons, so the thinking loss of reason rows does not run; thinkrec_synthesize makes them");
  }
  if (const std::string what = one_sided(session.dataset(), rows.valid); mode == StageMode::kTrain && !what.empty())
    log_warning(
        "there are {} valid rows, which judge no step better than another: the last step's parameters are kept (valid.rows)",
        what);
  const PhaseSources learnt_from = mode == StageMode::kTrain ? sources(session, state) : PhaseSources();
  for (std::int64_t i = 0; i < phase_count(session.recipe()) && !state.stopped; ++i) {
    const PhaseConfig config = activate_phase(session.recipe(), i);
    if (mode == StageMode::kLoad) {
      load_phase(session, session.global_store(config.folder), config, state.global, state.projector);
      continue;
    }
    const PromptBuilder prompts(session.dataset(), session.tokenizer(), session.prompt(phase_template(session.recipe(), i)));
    const ResumePoint from = agreed_resume_points(session, std::span(&config, 1))[0];
    const PhaseLane phase{config, rows, &state.global, from.step};
    if (session.leader()) resume_log(log, config.stage, from);
    state.worked |= !from.done;
    state.stopped = run_phases(session, session.world(), std::span(&phase, 1), learnt_from, prompts, state.features.get(),
                               state.projector, log, true) == PhaseEnd::kStopped;
  }
}

void group_stage(const Session& session, StageMode mode, MetricsLog& log, RunState& state) {
  THINKREC_CHECK(state.encoder != nullptr, "encode comes before group");
  const CheckpointStore store = session.store("group");
  if (session.leader()) store.clean();
  session.world().barrier();
  auto checkpoint = load_latest(store, session.world());
  if (!checkpoint && mode == StageMode::kLoad) unfinished(session, "group");
  const std::string kind = session.recipe().text("group.encoder");
  const EncoderConfig config = encoder_config(session.recipe(), kind);
  if (!checkpoint) {
    state.worked = true;
    if (kind != "same") state.group_encoder = train_and_report(session, config, session.dataset(), "group/encode", log);
    if (session.leader()) {
      const at::Tensor vectors = state.grouping_encoder().group_vectors(session.dataset()).contiguous();
      const auto method = session.recipe().text("group.method") == "ward" ? GroupingMethod::kWard : GroupingMethod::kKmeans;
      const Grouping grouping =
          group_users({vectors.const_data_ptr<float>(), static_cast<std::size_t>(vectors.numel())}, vectors.size(0),
                      vectors.size(1), static_cast<int>(session.recipe().integer("group.count")), method, session.seed());
      Checkpoint made{1, {{"done", true}, {"groups", grouping.groups}}, {}};
      const auto flat = [](const std::string& name, const auto& values) {
        return StoredTensor{name, {static_cast<std::int64_t>(values.size())}, std::vector<float>(values.begin(), values.end())};
      };
      made.tensors = {flat("group_of_user", grouping.group_of_user), flat("center", grouping.center),
                      flat("scale", grouping.scale), flat("means", grouping.means)};
      if (state.group_encoder != nullptr) {
        for (const auto& [name, tensor] : state.group_encoder->parameters())
          made.tensors.push_back(store_tensor("encoder/" + name, tensor));
      }
      store.save(made);
    }
    session.world().barrier();
    checkpoint = load_latest(store, session.world());
    if (!checkpoint) fail(ExitCode::kIo, "{}: the grouping that was just written cannot be read", store.folder());
  }
  if (kind != "same")
    state.group_encoder = restore_encoder(config, session.dataset(), tensors_with_prefix(*checkpoint, "encoder/"));
  Grouping& grouping = state.grouping;
  grouping.groups = checkpoint->facts.at("groups").get<int>();
  for (const StoredTensor& tensor : checkpoint->tensors) {
    if (tensor.name == "group_of_user") grouping.group_of_user.assign(tensor.values.begin(), tensor.values.end());
    if (tensor.name == "center") grouping.center = tensor.values;
    if (tensor.name == "scale") grouping.scale = tensor.values;
    if (tensor.name == "means") grouping.means = tensor.values;
  }
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(grouping.groups), 0);
  for (const std::int32_t group : grouping.group_of_user) ++sizes[static_cast<std::size_t>(group)];
  log_info("group: {} groups of {} users", grouping.groups, joined(sizes, ", "));
}

std::string one_sided(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  std::set<std::uint8_t> labels;
  for (const std::int64_t row : rows) labels.insert(dataset.label[static_cast<std::size_t>(row)]);
  if (labels.size() > 1) return "";
  return labels.empty() ? "no" : labels.contains(1) ? "only liked" : "only disliked";
}

PhaseRows group_rows(const Dataset& dataset, const Grouping& grouping, int group, const std::vector<std::int64_t>& train,
                     const std::vector<std::int64_t>& valid) {
  const auto member = [&](std::int64_t row) {
    return grouping.group_of_user[static_cast<std::size_t>(dataset.user[static_cast<std::size_t>(row)])] == group;
  };
  PhaseRows rows;
  for (const std::int64_t row : train) {
    if (member(row)) rows.train.push_back(row);
  }
  for (const Reason& reason : dataset.reasons) {
    if (member(reason.row)) rows.reasons.push_back(&reason);
  }
  for (const std::int64_t row : valid) {
    if (member(row)) rows.valid.push_back(row);
  }
  if (rows.train.empty()) {
    log_warning("group {} has no train rows; its expert draws from all", group);
    rows.train = train;
  }
  if (rows.reasons.empty()) rows.reasons = all_reasons(dataset);
  if (const std::string what = one_sided(dataset, rows.valid); !what.empty()) {
    log_warning("group {} has {} valid rows; its expert is selected on all", group, what);
    rows.valid = valid;
  }
  return rows;
}

void expert_stage(const Session& session, StageMode mode, const std::set<int>& only, MetricsLog& log, RunState& state) {
  const int experts = state.grouping.groups;
  if (!only.empty() && *only.rbegin() >= experts)
    fail(ExitCode::kUsage, "--experts {}: this run has experts 0 to {}", *only.rbegin(), experts - 1);
  state.experts.assign(static_cast<std::size_t>(experts), LoraAdapter());
  for (LoraAdapter& expert : state.experts) expert = state.global.clone();
  const auto wanted = [&](int expert) { return only.empty() || only.contains(expert); };
  if (mode == StageMode::kTrain) {
    const PromptBuilder prompts(session.dataset(), session.tokenizer(), final_prompt(session));
    const auto train = train_sample(session), valid = valid_sample(session);
    std::vector<PhaseRows> rows;
    std::vector<std::int64_t> tokens;
    std::vector<int> queue;
    for (int e = 0; e < experts; ++e) {
      if (!wanted(e)) continue;
      queue.push_back(e);
      rows.push_back(group_rows(session.dataset(), state.grouping, e, train, valid));
      tokens.push_back(expected_tokens(expert_phase(session, e), rows.back().train, prompts));
    }
    const ExpertPlan plan = plan_experts(tokens, session.world().size());
    for (std::size_t t = 0; t < plan.experts_of_team.size(); ++t) {
      std::vector<int> names;
      for (const int q : plan.experts_of_team[t]) names.push_back(queue[static_cast<std::size_t>(q)]);
      log_info("expert: team {} of {} ranks trains expert {}{}", t,
               std::count(plan.team_of_rank.begin(), plan.team_of_rank.end(), static_cast<int>(t)), joined(names, ", "),
               names.size() > 1 ? " at once" : "");
    }
    std::vector<ResumePoint> from(queue.size());
    for (const auto& members : plan.experts_of_team) {
      std::vector<PhaseConfig> together;
      for (const int q : members) together.push_back(expert_phase(session, queue[static_cast<std::size_t>(q)]));
      const auto points = agreed_resume_points(session, together);
      for (std::size_t i = 0; i < members.size(); ++i) from[static_cast<std::size_t>(members[i])] = points[i];
    }
    state.worked |= !std::ranges::all_of(from, &ResumePoint::done);
    if (session.leader()) {
      write_teams(session, plan, queue, from);
      for (std::size_t q = 0; q < queue.size(); ++q) resume_log(log, expert_phase(session, queue[q]).stage, from[q]);
    }
    session.world().barrier();
    const int my_team = plan.team_of_rank[static_cast<std::size_t>(session.world().rank())];
    const auto team = session.world().split(my_team);
    // Asked of a rank of one team, a stop is asked of all.
    const SharedStop shared(session.path("stop"), session.world(), team != nullptr && team->rank() == 0);
    std::int64_t stopped = 0;
    if (team != nullptr) {
      MetricsLog other_team(MetricsLog::team_path(session.path("metrics.jsonl"), my_team), team->rank() == 0 && !session.leader(),
                            session.path("tensorboard"));
      std::vector<PhaseLane> phases;
      for (const int q : plan.experts_of_team[static_cast<std::size_t>(my_team)]) {
        const int e = queue[static_cast<std::size_t>(q)];
        phases.push_back({expert_phase(session, e), rows[static_cast<std::size_t>(q)],
                          &state.experts[static_cast<std::size_t>(e)], from[static_cast<std::size_t>(q)].step});
      }
      const PhaseEnd end = run_phases(session, *team, phases, sources(session, state), prompts, state.features.get(),
                                      state.projector, session.leader() ? log : other_team, my_team == 0);
      stopped = end == PhaseEnd::kStopped ? 1 : 0;
    }
    session.world().all_reduce_max(std::span(&stopped, 1));
    log.gather();
    state.stopped = stopped != 0;
    if (state.stopped) return;
  }
  // Every rank reads every expert: what was trained elsewhere, too.
  for (int e = 0; e < experts; ++e) {
    const PhaseConfig config = expert_phase(session, e);
    if (wanted(e))
      load_phase(session, session.store(config.folder), config, state.experts[static_cast<std::size_t>(e)], state.projector);
  }
}

}  // namespace thinkrec
