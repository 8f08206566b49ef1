#include "report/metrics_report.h"

#include <fmt/format.h>

#include <cmath>

#include "report/table.h"

namespace thinkrec {
namespace {

using Json = nlohmann::ordered_json;

Json interval_json(const Interval& value) { return Json::array({json_number(value.low), json_number(value.high)}); }

/// Of RankingMetrics or PairedDifference.
template <class Values>
Json to_json(const Values& values, const MetricIntervals& intervals, int k) {
  const std::string ndcg = fmt::format("ndcg@{}", k), map = fmt::format("map@{}", k);
  return {{"auc", json_number(values.auc)},
          {"uauc", json_number(values.uauc)},
          {ndcg, json_number(values.ndcg)},
          {map, json_number(values.map)},
          {"auc_ci", interval_json(intervals.auc)},
          {"uauc_ci", interval_json(intervals.uauc)},
          {ndcg + "_ci", interval_json(intervals.ndcg)},
          {map + "_ci", interval_json(intervals.map)}};
}

}  // namespace

Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json metrics_json(const RankingMetrics& metrics, const MetricIntervals& intervals, int k) {
  return to_json(metrics, intervals, k);
}
Json metrics_json(const PairedDifference& difference, int k) { return to_json(difference, difference.interval, k); }

std::string metric_cell(double value, const Interval& range) {
  return fmt::format("{} [{}, {}]", format_number(value, 4), format_number(range.low, 3), format_number(range.high, 3));
}

std::string difference_cell(double value, const Interval& range) {
  if (!std::isfinite(value)) return "-";
  return fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", value, range.low, range.high);
}

ComparisonReport report_comparison(const Comparison& comparison, int k) {
  const auto header = [&](const std::string& first) {
    return std::vector<std::string>{first, "AUC [95 %]", "UAUC [95 %]", fmt::format("NDCG@{} [95 %]", k),
                                    fmt::format("MAP@{} [95 %]", k)};
  };
  ComparisonReport out;
  const std::string& first = comparison.models.front().name;
  out.json = {{"rows", comparison.rows}, {"users", comparison.users}, {"k", k},
              {"first", first},          {"models", Json::object()},  {"difference", Json::object()}};
  Table metrics(header("scores")), differences(header("less " + first));
  for (const ComparedScores& model : comparison.models) {
    out.json["models"][model.name] = metrics_json(model.metrics, model.intervals, k);
    metrics.add_row({model.name, metric_cell(model.metrics.auc, model.intervals.auc),
                     metric_cell(model.metrics.uauc, model.intervals.uauc), metric_cell(model.metrics.ndcg, model.intervals.ndcg),
                     metric_cell(model.metrics.map, model.intervals.map)});
    if (&model == &comparison.models.front()) continue;
    const PairedDifference& less = model.difference;
    out.json["difference"][model.name] = metrics_json(less, k);
    differences.add_row({model.name, difference_cell(less.auc, less.interval.auc), difference_cell(less.uauc, less.interval.uauc),
                         difference_cell(less.ndcg, less.interval.ndcg), difference_cell(less.map, less.interval.map)});
  }
  out.table = fmt::format("{} rows of {} users\n{}{}", format_count(comparison.rows), format_count(comparison.users),
                          metrics.text(), differences.text());
  return out;
}

}  // namespace thinkrec
