#include "train/evaluate.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/log.h"
#include "eval/baselines.h"
#include "experts/grouping.h"
#include "report/metrics_report.h"
#include "report/table.h"
#include "train/calibration.h"
#include "train/scorer.h"
#include "train/stop.h"

namespace thinkrec {
namespace {

using Json = nlohmann::ordered_json;

/// The users' vectors on the plane of their two main directions, for the group map.
Json group_map(const Session& session, const RunState& state, const at::Tensor& vectors) {
  constexpr std::int64_t kMost = 400;  // points a group
  const Grouping& grouping = state.grouping;
  const std::int64_t d = vectors.size(1);
  const at::Tensor center = at::tensor(grouping.center), scale = at::tensor(grouping.scale);
  const at::Tensor scaled = ((vectors - center) / scale).to(at::kDouble);
  const auto [values, directions] = at::linalg_eigh(at::mm(scaled.t(), scaled));
  const at::Tensor plane =
      at::mm(scaled, directions.narrow(1, std::max<std::int64_t>(0, d - 2), std::min<std::int64_t>(2, d))).contiguous();
  std::vector<std::int64_t> train_rows(static_cast<std::size_t>(grouping.groups), 0);
  for (const std::int64_t row : session.dataset().rows(Split::kTrain)) {
    const auto user = static_cast<std::size_t>(session.dataset().user[static_cast<std::size_t>(row)]);
    ++train_rows[static_cast<std::size_t>(grouping.group_of_user[user])];
  }
  Json groups = Json::array();
  for (int g = 0; g < grouping.groups; ++g) {
    Json group = {
        {"users", 0}, {"train_rows", train_rows[static_cast<std::size_t>(g)]}, {"x", Json::array()}, {"y", Json::array()}};
    std::int64_t users = 0;
    for (std::int64_t u = 0; u < vectors.size(0); ++u) {
      if (grouping.group_of_user[static_cast<std::size_t>(u)] != g) continue;
      if (users++ >= kMost || d < 2) continue;
      const auto rounded = [](double value) { return std::round(value * 1000) / 1000; };
      group["x"].push_back(rounded(plane[u][1].item<double>()));
      group["y"].push_back(rounded(plane[u][0].item<double>()));
    }
    group["users"] = users;
    groups.push_back(group);
  }
  return groups;
}

/// How far two groups are apart (paper, Fig. 4): in their users' numbers of train rows, as the reference measured it, and in their
/// vectors, along the line between the groups' means. Null unless there are two groups.
Json group_difference(const Session& session, const RunState& state, const at::Tensor& vectors) {
  const Grouping& grouping = state.grouping;
  if (grouping.groups != 2) return nullptr;
  std::vector<double> rows_of_user(grouping.group_of_user.size(), 0);
  for (const std::int64_t row : session.dataset().rows(Split::kTrain))
    ++rows_of_user[static_cast<std::size_t>(session.dataset().user[static_cast<std::size_t>(row)])];
  const at::Tensor scaled = ((vectors - at::tensor(grouping.center)) / at::tensor(grouping.scale)).to(at::kDouble);
  const at::Tensor means = at::tensor(grouping.means).view({2, -1}).to(at::kDouble);
  const at::Tensor along = at::mv(scaled, means[1] - means[0]).contiguous();
  std::array<std::vector<double>, 2> rows, features;
  for (std::size_t u = 0; u < rows_of_user.size(); ++u) {
    const auto group = static_cast<std::size_t>(grouping.group_of_user[u]);
    rows[group].push_back(rows_of_user[u]);
    features[group].push_back(along[static_cast<std::int64_t>(u)].item<double>());
  }
  return {{"train_rows", json_number(std::abs(cohens_d(rows[0], rows[1])))},
          {"features", json_number(std::abs(cohens_d(features[0], features[1])))}};
}

std::string render(const Evaluation& evaluation, const Json& difference, int k) {
  Table table({"model", "AUC [95 %]", "UAUC [95 %]", fmt::format("NDCG@{} [95 %]", k), fmt::format("MAP@{} [95 %]", k)});
  for (const ModelScores& model : evaluation.models) {
    table.add_row({model.name, metric_cell(model.metrics.auc, model.intervals.auc),
                   metric_cell(model.metrics.uauc, model.intervals.uauc), metric_cell(model.metrics.ndcg, model.intervals.ndcg),
                   metric_cell(model.metrics.map, model.intervals.map)});
  }
  std::string text = table.text();
  for (const auto& [name, values] : difference.items()) {
    if (!values["auc"].is_number()) continue;
    const Json& range = values["auc_ci"];
    text += fmt::format("{}: AUC {} (paired bootstrap by user)\n", name,
                        difference_cell(values["auc"].get<double>(), {range[0].get<double>(), range[1].get<double>()}));
  }
  return text;
}

}  // namespace

Gate gate_of_user(const Session& session, const RunState& state, const at::Tensor& vectors, std::int32_t user) {
  const Recipe& recipe = session.recipe();
  const GateConfig config{recipe.real("gate.temperature"), recipe.real("gate.entropy_share"), recipe.real("gate.single_base"),
                          recipe.real("gate.single_per_group")};
  const at::Tensor vector = vectors[user].contiguous();
  return gate_user({vector.const_data_ptr<float>(), static_cast<std::size_t>(vector.numel())}, state.grouping, config);
}

FusedAdapters::FusedAdapters(const Session& session, const RunState& state, std::size_t kept)
    : session_(session),
      state_(state),
      vectors_(state.grouping_encoder().group_vectors(session.dataset()).contiguous()),
      merged_(kept) {}

const Gate& FusedAdapters::gate(std::int32_t user) {
  const auto found = gates_.find(user);
  if (found != gates_.end()) return found->second;
  return gates_.emplace(user, gate_of_user(session_, state_, vectors_, user)).first->second;
}

const LoraAdapter& FusedAdapters::of(std::int32_t user) {
  const Gate& decision = gate(user);
  if (decision.decision == GateDecision::kGlobal) return state_.global;
  if (decision.decision == GateDecision::kSingle) return state_.experts[static_cast<std::size_t>(decision.expert)];
  return merged_.get(user, [&] { return merge_adapters(state_.experts, decision.weights, first_expert_layer(session_)); });
}

Evaluation evaluate(const Session& session, const RunState& state, Split split, bool all_rows) {
  const Recipe& recipe = session.recipe();
  const Dataset& dataset = session.dataset();
  const int k = static_cast<int>(recipe.integer("evaluate.k"));
  Evaluation out;
  out.rows = all_rows ? sample_rows(dataset, split, 0, 0, session.seed())
                      : sample_rows(dataset, split, recipe.integer("evaluate.rows"), recipe.integer("evaluate.rows_per_user"),
                                    session.seed());
  for (const std::int64_t row : out.rows) {
    out.user.push_back(dataset.user[static_cast<std::size_t>(row)]);
    out.label.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  const PromptBuilder prompts(dataset, session.tokenizer(), final_prompt(session));
  std::vector<EncodedRow> encoded;
  for (const std::int64_t row : out.rows) encoded.push_back(prompts.prompt(row));
  Scorer scorer(session.model(), state.projector, state.features.get(), prompts.verdicts().yes,
                scoring_tokens(recipe.integer("run.micro_tokens"), session.model()), session.world());
  scorer.stop_when(stop_requested);

  const auto add = [&](const std::string& name, std::vector<double> score) {
    out.models.push_back({name, std::move(score), {}, {}});
  };
  const auto model_named = [&](const std::string& name) -> const ModelScores* {
    const auto found =
        std::find_if(out.models.begin(), out.models.end(), [&](const ModelScores& model) { return model.name == name; });
    return found == out.models.end() ? nullptr : &*found;
  };
  add("item_mean", item_mean_scores(dataset, out.rows));
  add("logistic", logistic_scores(dataset, out.rows));
  add("encoder", state.encoder->scores(dataset, out.rows));
  const auto shown = [&](const std::string& what) {
    return [progress = std::make_shared<Progress>(what, static_cast<std::int64_t>(out.rows.size()), session.leader())](
               std::int64_t done, std::int64_t) { progress->update(done, "rows of this rank"); };
  };
  const auto wanted = recipe.list("evaluate.models");
  const auto wants = [&](const char* model) { return std::find(wanted.begin(), wanted.end(), model) != wanted.end(); };
  if (wants("untrained")) {
    const PromptBuilder text_prompts(dataset, session.tokenizer(), session.prompt("text"));
    std::vector<EncodedRow> plain;
    for (const std::int64_t row : out.rows) plain.push_back(text_prompts.prompt(row));
    add("untrained", scorer.score(plain, out.user, nullptr, shown("evaluate/untrained")));
  }

  // One pass through the layers that all adapters share, then each one's own layers; what serves a user is scored once.
  FusedAdapters fused(session, state);
  std::vector<TopAdapterOf> tops;
  if (wants("global")) tops.push_back([&](std::int32_t) { return TopAdapter{true, &state.global}; });
  if (wants("experts")) {
    for (const LoraAdapter& expert : state.experts) tops.push_back([&expert](std::int32_t) { return TopAdapter{true, &expert}; });
  }
  const auto scored_already = [&](GateDecision decision) {
    return (decision == GateDecision::kGlobal && wants("global")) || (decision == GateDecision::kSingle && wants("experts"));
  };
  if (wants("fused")) {
    tops.push_back([&](std::int32_t user) {
      return scored_already(fused.gate(user).decision) ? TopAdapter{false, nullptr} : TopAdapter{true, &fused.of(user)};
    });
  }
  const auto scores = tops.empty() ? std::vector<std::vector<double>>()
                                   : scorer.score(encoded, out.user, &state.global, first_expert_layer(session), tops,
                                                  shown("evaluate/adapters"));
  const std::size_t first_expert = wants("global") ? 1 : 0;
  if (wants("global")) add("global", scores[0]);
  if (wants("experts")) {
    for (std::size_t e = 0; e < state.experts.size(); ++e) add(fmt::format("expert:{}", e), scores[first_expert + e]);
  }
  if (wants("fused")) {
    std::vector<double> fused_score = scores.back();
    for (std::size_t i = 0; i < out.rows.size(); ++i) {
      const Gate& gate = fused.gate(out.user[i]);
      if (!scored_already(gate.decision)) continue;
      fused_score[i] =
          gate.decision == GateDecision::kGlobal ? scores[0][i] : scores[first_expert + static_cast<std::size_t>(gate.expert)][i];
    }
    add("fused", fused_score);
    if (state.calibration.rows > 0) {
      const std::vector<double> encoder = model_named("encoder")->score;
      for (std::size_t i = 0; i < out.rows.size(); ++i) fused_score[i] += state.calibration.encoder_weight * encoder[i];
      add("calibrated", std::move(fused_score));
    }
  }

  // Metrics with intervals over users, and the paired differences that the method claims.
  const int resamples = static_cast<int>(recipe.integer("evaluate.bootstrap"));
  const auto scored = [&](const ModelScores& model) { return ScoredRows{out.user, out.label, model.score}; };
  std::int64_t users = 0;
  out.json = {{"split", kSplitNames[static_cast<std::size_t>(split)]},
              {"rows", out.rows.size()},
              {"k", k},
              {"models", Json::object()},
              {"difference", Json::object()}};
  for (ModelScores& model : out.models) {
    session.world().note_progress();
    model.metrics = ranking_metrics(scored(model), k);
    model.intervals = user_bootstrap(scored(model), k, resamples, session.seed());
    users = model.metrics.users;
    out.json["models"][model.name] = metrics_json(model.metrics, model.intervals, k);
  }
  out.json["users"] = users;
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{{"fused", "untrained"},
                                                                             {"global", "untrained"},
                                                                             {"fused", "global"},
                                                                             {"fused", "item_mean"},
                                                                             {"fused", "logistic"},
                                                                             {"fused", "encoder"},
                                                                             {"calibrated", "fused"},
                                                                             {"calibrated", "item_mean"},
                                                                             {"calibrated", "logistic"},
                                                                             {"calibrated", "encoder"}}) {
    const ModelScores *left = model_named(a), *right = model_named(b);
    if (left == nullptr || right == nullptr) continue;
    session.world().note_progress();
    out.json["difference"][a + " - " + b] =
        metrics_json(paired_bootstrap(scored(*left), scored(*right), k, resamples, session.seed()), k);
  }

  if (state.calibration.rows > 0) out.json["calibration"] = calibration_json(state.calibration);

  // Who was served how.
  std::vector<std::int64_t> single(state.experts.size(), 0), histogram(10, 0);
  std::int64_t by_global = 0, by_merge = 0;
  for (std::size_t i = 0; i < out.rows.size(); ++i) {
    if (i > 0 && out.user[i] == out.user[i - 1]) continue;
    const Gate& gate = fused.gate(out.user[i]);
    by_global += gate.decision == GateDecision::kGlobal ? 1 : 0;
    by_merge += gate.decision == GateDecision::kMerged ? 1 : 0;
    if (gate.decision == GateDecision::kSingle) ++single[static_cast<std::size_t>(gate.expert)];
    const double most = *std::max_element(gate.weights.begin(), gate.weights.end());
    ++histogram[static_cast<std::size_t>(std::clamp(most * 10, 0.0, 9.0))];
  }
  out.json["gate"] = {{"global", by_global}, {"single", single}, {"merged", by_merge}, {"max_weight_histogram", histogram}};
  out.json["groups"] = group_map(session, state, state.grouping_encoder().group_vectors(dataset));
  out.json["cohens_d"] = group_difference(session, state, state.grouping_encoder().group_vectors(dataset));
  out.json["data"] = {{"name", dataset.name}, {"hash", dataset.hash()}, {"recipe_hash", recipe.hash()}};
  out.table = render(out, out.json["difference"], k);
  return out;
}

std::string scores_csv(const Session& session, const Evaluation& evaluation) {
  const Dataset& dataset = session.dataset();
  const auto quoted = [](const std::string& text) {
    if (text.find_first_of(",\"\n") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
    return out + "\"";
  };
  std::string text = "row,user,item,label";
  for (const ModelScores& model : evaluation.models) text += "," + model.name;
  text += "\n";
  for (std::size_t i = 0; i < evaluation.rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(evaluation.rows[i]);
    text +=
        fmt::format("{},{},{},{}", row, quoted(dataset.users[static_cast<std::size_t>(dataset.user[row])]),
                    quoted(dataset.items[static_cast<std::size_t>(dataset.item[row])].id), static_cast<int>(dataset.label[row]));
    for (const ModelScores& model : evaluation.models) text += fmt::format(",{:.9g}", model.score[i]);
    text += "\n";
  }
  return text;
}

}  // namespace thinkrec
