#pragma once
// Generated reasons beside their references, method by method (paper, Table 3), as JSON and as a table.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/text_pairs.h"

namespace thinkrec {

struct ExplainedRow {
  std::int64_t row = 0;  ///< interaction index
  std::int32_t user = 0;
  std::string user_id, item_title;
  bool label = false;
  std::string reference, source;  ///< source: who wrote the reference
};

struct ExplainedMethod {
  std::string name;
  std::vector<std::string> candidate;  ///< one a row
  TextEvaluation evaluation;
};

/// A control for what a metric gives to any text of the kind: the same reasons, each beside the next row of another user of whom the same
/// verdict is given (where there is none, the next row).
ExplainedMethod of_other_rows(const std::vector<ExplainedRow>& rows, const ExplainedMethod& method);

struct TextReport {
  /// {"rows", "users", "references": {source: rows}, "methods": {name: {metric, metric_ci, "tokens", "verdicts"}}, "difference": {"b - a":
  /// {...}}, "texts": [{"row", "user", "item", "label", "reference", "source", "candidates": {name: text}}]}; "left_out" without
  /// BLEURT.
  nlohmann::ordered_json json;
  std::string table;  ///< for the terminal
};

/// Means with 95 % intervals by bootstrap over users, the share of right verdicts, and of each later method its paired difference from the first.
TextReport report_texts(const std::vector<ExplainedRow>& rows, const std::vector<ExplainedMethod>& methods, int resamples,
                        std::uint64_t seed);

}  // namespace thinkrec
