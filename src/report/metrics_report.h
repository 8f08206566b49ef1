#pragma once
// Ranking metrics as JSON and as cells of a table: of a run's evaluation and of a comparison of score files.

#include <nlohmann/json.hpp>
#include <string>

#include "eval/score_file.h"

namespace thinkrec {

/// NaN and infinity become null.
nlohmann::ordered_json json_number(double value);

/// {auc, uauc, ndcg@k, map@k, and of each the interval as "<name>_ci": [low, high]}.
nlohmann::ordered_json metrics_json(const RankingMetrics& metrics, const MetricIntervals& intervals, int k);
nlohmann::ordered_json metrics_json(const PairedDifference& difference, int k);

/// "0.7764 [0.761, 0.790]"
std::string metric_cell(double value, const Interval& range);
/// "+0.0123 [+0.0045, +0.0201]"
std::string difference_cell(double value, const Interval& range);

struct ComparisonReport {
  nlohmann::ordered_json json;  ///< {rows, users, k, first, models: {name: metrics}, difference: {name: metrics}}
  std::string table;            ///< for the terminal
};

ComparisonReport report_comparison(const Comparison& comparison, int k);

}  // namespace thinkrec
