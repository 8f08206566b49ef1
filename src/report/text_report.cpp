#include "report/text_report.h"

#include <map>
#include <set>

#include "core/error.h"
#include "eval/bootstrap.h"
#include "report/metrics_report.h"
#include "report/table.h"

namespace thinkrec {
namespace {

using Json = nlohmann::ordered_json;

std::vector<double> values_of(const TextEvaluation& evaluation, const TextMetric& metric) {
  std::vector<double> values;
  for (const TextScores& scores : evaluation.pairs) values.push_back(scores.*metric.value);
  return values;
}

Json texts_json(const std::vector<ExplainedRow>& rows, const std::vector<ExplainedMethod>& methods) {
  Json texts = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ExplainedRow& row = rows[i];
    Json candidates = Json::object();
    for (const ExplainedMethod& method : methods) candidates[method.name] = method.candidate[i];
    texts.push_back({{"row", row.row},
                     {"user", row.user_id},
                     {"item", row.item_title},
                     {"label", row.label ? "Yes" : "No"},
                     {"reference", row.reference},
                     {"source", row.source},
                     {"candidates", std::move(candidates)}});
  }
  return texts;
}

bool says_yes(const std::string& reason) { return reason.starts_with("Yes"); }

double right_verdicts(const std::vector<ExplainedRow>& rows, const ExplainedMethod& method) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string& reason = method.candidate[i];
    right += rows[i].label ? says_yes(reason) : reason.starts_with("No");
  }
  return static_cast<double>(right) / static_cast<double>(rows.size());
}

}  // namespace

ExplainedMethod of_other_rows(const std::vector<ExplainedRow>& rows, const ExplainedMethod& method) {
  ExplainedMethod control{method.name + ", of another row", {}, {}};
  const std::size_t count = rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t other = (i + 1) % count;
    for (std::size_t ahead = 1; ahead < count; ++ahead) {
      const std::size_t j = (i + ahead) % count;
      if (rows[j].user == rows[i].user || says_yes(method.candidate[j]) != says_yes(method.candidate[i])) continue;
      other = j;
      break;
    }
    control.candidate.push_back(method.candidate[other]);
  }
  return control;
}

TextReport report_texts(const std::vector<ExplainedRow>& rows, const std::vector<ExplainedMethod>& methods, int resamples,
                        std::uint64_t seed) {
  THINKREC_CHECK(!rows.empty() && !methods.empty());
  const bool bleurt = methods.front().evaluation.bleurt;
  const auto metrics = text_metrics(bleurt);
  std::vector<std::int32_t> user;
  std::map<std::string, std::int64_t> sources;
  for (const ExplainedRow& row : rows) {
    user.push_back(row.user);
    ++sources[row.source];
  }
  const auto range_json = [](const Interval& range) { return Json::array({json_number(range.low), json_number(range.high)}); };

  TextReport report;
  const std::size_t users = std::set<std::int32_t>(user.begin(), user.end()).size();
  report.json = {{"rows", rows.size()},
                 {"users", users},
                 {"references", sources},
                 {"methods", Json::object()},
                 {"difference", Json::object()}};
  std::vector<std::string> header = {"method"};
  for (const TextMetric& metric : metrics) header.push_back(fmt::format("{} [95 %]", metric.name));
  header.emplace_back("tokens");
  header.emplace_back("right verdicts");
  Table table(header);
  std::string differences;
  for (const ExplainedMethod& method : methods) {
    THINKREC_CHECK(method.candidate.size() == rows.size() && method.evaluation.pairs.size() == rows.size(), "{}", method.name);
    Json& json = report.json["methods"][method.name] = Json::object();
    std::vector<std::string> cells = {method.name};
    for (const TextMetric& metric : metrics) {
      const std::vector<double> values = values_of(method.evaluation, metric);
      const Interval range = mean_interval(values, user, resamples, seed);
      const double mean = method.evaluation.mean.*metric.value;
      json[metric.key] = json_number(mean);
      json[fmt::format("{}_ci", metric.key)] = range_json(range);
      cells.push_back(metric_cell(mean, range));
      if (&method == &methods.front()) continue;
      const std::vector<double> first = values_of(methods.front().evaluation, metric);
      std::vector<double> difference;
      for (std::size_t i = 0; i < values.size(); ++i) difference.push_back(values[i] - first[i]);
      const Interval spread = mean_interval(difference, user, resamples, seed);
      const double gap = mean - methods.front().evaluation.mean.*metric.value;
      const std::string name = method.name + " - " + methods.front().name;
      report.json["difference"][name][metric.key] = json_number(gap);
      report.json["difference"][name][fmt::format("{}_ci", metric.key)] = range_json(spread);
      if (&metric == &metrics.front())
        differences += fmt::format("{}: {} {} (paired bootstrap by user)\n", name, metric.name, difference_cell(gap, spread));
    }
    json["tokens"] = method.evaluation.candidate_tokens;
    json["verdicts"] = right_verdicts(rows, method);
    cells.push_back(format_number(method.evaluation.candidate_tokens, 1));
    cells.push_back(format_number(right_verdicts(rows, method), 3));
    table.add_row(cells);
  }
  if (!bleurt) report.json["left_out"] = {"bleurt"};
  report.json["texts"] = texts_json(rows, methods);

  report.table = fmt::format("reasons for {} rows of {} users; references of {:.1f} tokens:", rows.size(), users,
                             methods.front().evaluation.reference_tokens);
  for (const auto& [source, count] : sources) report.table += fmt::format(" {} by {}", count, source);
  report.table += "\n" + table.text() + differences;
  if (!bleurt) report.table += "BLEURT is left out: no checkpoint (--bleurt)\n";
  return report;
}

}  // namespace thinkrec
