#include "train/calibration.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/log.h"
#include "eval/metrics.h"
#include "io/bounded_json.h"
#include "io/file.h"
#include "report/metrics_report.h"
#include "report/progress.h"
#include "train/evaluate.h"
#include "train/scorer.h"
#include "train/stop.h"

namespace thinkrec {

CalibrationRows calibration_rows(const Dataset& dataset, const Recipe& recipe) {
  const auto seed = static_cast<std::uint64_t>(recipe.integer("run.seed"));
  const std::int64_t judged = recipe.integer("valid.rows"), wanted = recipe.integer("evaluate.calibration_rows");
  const auto user_of = [&](std::int64_t row) { return dataset.user[static_cast<std::size_t>(row)]; };
  std::set<std::int32_t> taken;
  for (const std::int64_t row : sample_rows(dataset, Split::kValid, judged, recipe.integer("valid.rows_per_user"), seed))
    taken.insert(user_of(row));
  // Users come in the same order as in that sample, so more rows are more users behind its own.
  CalibrationRows out;
  std::int64_t of_taken = 0;
  for (const std::int64_t row : dataset.rows(Split::kValid)) of_taken += taken.contains(user_of(row)) ? 1 : 0;
  for (const std::int64_t row : sample_rows(dataset, Split::kValid, of_taken + wanted, 0, seed)) {
    if (!taken.contains(user_of(row))) out.rows.push_back(row);
  }
  out.fresh = !out.rows.empty();
  if (!out.fresh) out.rows = sample_rows(dataset, Split::kValid, wanted, 0, seed);
  return out;
}

namespace {

double deviation(const std::vector<double>& values) {
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

}  // namespace

Calibration calibrate(const Session& session, const RunState& state) {
  Calibration out;
  if (session.recipe().integer("evaluate.calibration_rows") == 0) return out;
  const Dataset& dataset = session.dataset();
  const auto [rows, fresh] = calibration_rows(dataset, session.recipe());
  if (!fresh)
    log_warning("evaluate.calibration_rows: adapters were chosen by all users of the valid rows, so the same are used again");
  const PromptBuilder prompts(dataset, session.tokenizer(), final_prompt(session));
  ScoredRows scored;
  std::vector<EncodedRow> encoded;
  for (const std::int64_t row : rows) {
    scored.user.push_back(dataset.user[static_cast<std::size_t>(row)]);
    scored.label.push_back(dataset.label[static_cast<std::size_t>(row)]);
    encoded.push_back(prompts.prompt(row));
  }
  FusedAdapters fused(session, state);
  Scorer scorer(session.model(), state.projector, state.features.get(), prompts.verdicts().yes,
                scoring_tokens(session.recipe().integer("run.micro_tokens"), session.model()), session.world());
  scorer.stop_when(stop_requested);
  Progress progress("evaluate/calibration", static_cast<std::int64_t>(rows.size()), session.leader());
  const TopAdapterOf own = [&](std::int32_t user) { return TopAdapter{true, &fused.of(user)}; };
  const auto served = scorer.score(encoded, scored.user, &state.global, first_expert_layer(session), std::span(&own, 1),
                                   [&](std::int64_t done, std::int64_t) { progress.update(done, "rows of this rank"); })[0];
  progress.finish();
  const auto encoder = state.encoder->scores(dataset, rows);
  const double of_encoder = deviation(encoder);
  if (!(of_encoder > 0)) return out;
  const double unit = deviation(served) / of_encoder;

  out.rows = static_cast<std::int64_t>(rows.size());
  out.users = static_cast<std::int64_t>(std::set<std::int32_t>(scored.user.begin(), scored.user.end()).size());
  double best = -std::numeric_limits<double>::infinity();
  for (int tenths = 0; tenths < 10; ++tenths) {
    const double share = tenths / 10.0, weight = share / (1 - share) * unit;
    scored.score.clear();
    for (std::size_t i = 0; i < rows.size(); ++i) scored.score.push_back(served[i] + weight * encoder[i]);
    const RankingMetrics metrics = ranking_metrics(scored, static_cast<int>(session.recipe().integer("evaluate.k")));
    out.tried.push_back({share, metrics.auc, metrics.uauc});
    const double score = selection_score(metrics);
    if (score <= best) continue;
    best = score;
    out.share = share;
    out.encoder_weight = weight;
  }
  log_info(
      "calibration: on {} valid rows of {} users, the encoder's logit counts {:.3f} beside the language model's (a share of {:.1f})",
      out.rows, out.users, out.encoder_weight, out.share);
  return out;
}

nlohmann::ordered_json calibration_json(const Calibration& calibration) {
  nlohmann::ordered_json tried = nlohmann::ordered_json::array();
  for (const Calibration::Tried& one : calibration.tried)
    tried.push_back({{"share", one.share}, {"auc", json_number(one.auc)}, {"uauc", json_number(one.uauc)}});
  return {{"rows", calibration.rows},
          {"users", calibration.users},
          {"share", calibration.share},
          {"encoder_weight", calibration.encoder_weight},
          {"tried", std::move(tried)}};
}

void save_calibration(const std::string& path, const Calibration& calibration) {
  if (calibration.rows > 0) {
    write_file_atomic(path, calibration_json(calibration).dump(1) + "\n");
  } else {
    std::error_code ignored;  // none is there, mostly
    std::filesystem::remove(path, ignored);
  }
}

Calibration load_calibration(const std::string& path) {
  Calibration out;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return out;
  const nlohmann::json json = read_json_object(path, 1 << 20);
  const auto number = [&](const char* name) {
    const nlohmann::json& value = json_member(json, name);
    if (!value.is_number() || !(value.get<double>() >= 0) || value.get<double>() > 1e9)
      fail(ExitCode::kBadData, "{}: '{}' is not a number from 0; run the stage evaluate again", path, name);
    return value.get<double>();
  };
  out.rows = static_cast<std::int64_t>(number("rows"));
  out.users = static_cast<std::int64_t>(number("users"));
  out.share = number("share");
  out.encoder_weight = number("encoder_weight");
  const nlohmann::json& tried = json_member(json, "tried");
  if (!tried.is_null() && !tried.is_array())
    fail(ExitCode::kBadData, "{}: 'tried' is no list; run the stage evaluate again", path);
  for (const nlohmann::json& one : tried) {
    const auto value = [&](const char* name) {  // as json_number writes it
      if (!one.is_object() || !one.contains(name) || !(one[name].is_number() || one[name].is_null()))
        fail(ExitCode::kBadData, "{}: '{}' in 'tried' is no number; run the stage evaluate again", path, name);
      return one[name].is_null() ? std::numeric_limits<double>::quiet_NaN() : one[name].get<double>();
    };
    out.tried.push_back({value("share"), value("auc"), value("uauc")});
  }
  return out;
}

}  // namespace thinkrec
