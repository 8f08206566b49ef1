#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "report/html_sections.h"
#include "report/markup.h"
#include "report/table.h"

namespace thinkrec::html {
namespace {

constexpr std::size_t kMaxRows = 200;
constexpr std::size_t kMaxColumns = 12;

struct Column {
  std::string key;
  double low = std::numeric_limits<double>::infinity();  // of values and intervals
  double high = -std::numeric_limits<double>::infinity();
  double best = -std::numeric_limits<double>::infinity();
  double share(double value) const { return high > low ? (value - low) / (high - low) : 0.5; }
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void pad() {
    const double size = high > low ? high - low : 0.02;
    low -= 0.06 * size;
    high += 0.06 * size;
  }
};

/// AUC, UAUC, NDCG, MAP first, the rest by name.
int order(const std::string& key) {
  const char* known[] = {"auc", "uauc", "ndcg", "map"};
  for (int i = 0; i < 4; ++i) {
    if (key == known[i] || key.starts_with(std::string(known[i]) + "@")) return i;
  }
  return 4;
}

/// Columns of a table whose rows are objects of metrics, widened to hold values and intervals.
std::vector<Column> columns_of(const Json& rows) {
  std::vector<Column> columns;
  for (const auto& [name, row] : rows.items()) {
    if (!row.is_object()) continue;
    for (const auto& [key, value] : row.items()) {
      const auto at = number(row, key);
      if (!at || key == "rows" || key == "users" || key.ends_with("_p")) continue;
      auto column = std::find_if(columns.begin(), columns.end(), [&](const Column& entry) { return entry.key == key; });
      if (column == columns.end()) {
        if (columns.size() == kMaxColumns) continue;
        columns.emplace_back().key = key;
        column = columns.end() - 1;
      }
      column->add(*at);
      column->best = std::max(column->best, *at);
      if (const auto bounds = interval(row, key + "_ci")) {
        column->add(bounds->first);
        column->add(bounds->second);
      }
    }
  }
  std::stable_sort(columns.begin(), columns.end(), [](const Column& a, const Column& b) {
    return order(a.key) != order(b.key) ? order(a.key) < order(b.key) : order(a.key) == 4 && a.key < b.key;
  });
  for (auto& column : columns) column.pad();
  return columns;
}

std::string track(const Column& column, double value, const std::optional<std::pair<double, double>>& bounds, bool zero) {
  std::string result = "<div class=\"track\">";
  if (zero) result += fmt::format("<u style=\"left:{:.1f}%\"></u>", 100 * column.share(0));
  if (bounds) {
    result += fmt::format("<i style=\"left:{:.1f}%;width:{:.1f}%\"></i>", 100 * column.share(bounds->first),
                          100 * (column.share(bounds->second) - column.share(bounds->first)));
  }
  return result + fmt::format("<b style=\"left:{:.1f}%\"></b></div>", 100 * column.share(value));
}

std::string header_row(const std::vector<Column>& columns, const char* first) {
  std::string result = fmt::format("<th scope=\"col\">{}</th>", first);
  for (const auto& column : columns)
    result += fmt::format("<th scope=\"col\" class=\"number\">{}</th>", escape(metric_label(column.key)));
  return result;
}

std::string metric_table(const Json& models) {
  const auto columns = columns_of(models);
  std::string body;
  std::size_t rows = 0;
  for (const auto& [name, row] : models.items()) {
    if (!row.is_object() || ++rows > kMaxRows) continue;
    body += fmt::format("<tr{}><th scope=\"row\">{}</th>", name == "fused" ? " class=\"ours\"" : "", escape(model_label(name)));
    for (const auto& column : columns) {
      const auto value = number(row, column.key);
      if (!value) {
        body += "<td class=\"number none\">–</td>";
        continue;
      }
      const auto bounds = interval(row, column.key + "_ci");
      const auto range = bounds ? fmt::format("95 % interval {:.4f} to {:.4f}", bounds->first, bounds->second) : "no interval";
      const auto shown = bounds ? fmt::format("<small>{:.3f}–{:.3f}</small>", bounds->first, bounds->second) : "";
      body += fmt::format("<td class=\"number{}\" title=\"{}\"><span>{:.4f}</span>{}{}</td>",
                          *value == column.best ? " best" : "", range, *value, track(column, *value, bounds, false), shown);
    }
    body += "</tr>\n";
  }
  return table(
      "metrics", "Metrics of each model", header_row(columns, "Model"), body,
      "The best of each column is marked. A dot shows the value, the line around it its interval, on one scale per column.");
}

std::string difference_table(const Json& differences) {
  auto columns = columns_of(differences);
  for (auto& column : columns) {
    // Symmetric about zero, so that the line of no difference stands in the middle.
    const double size = std::max(std::abs(column.low), std::abs(column.high));
    column.low = -size;
    column.high = size;
  }
  std::string body;
  std::size_t rows = 0;
  for (const auto& [name, row] : differences.items()) {
    if (!row.is_object() || ++rows > kMaxRows) continue;
    const auto minus = name.find(" - ");
    const auto label = minus == std::string::npos
                           ? model_label(name)
                           : model_label(name.substr(0, minus)) + " − " + model_label(name.substr(minus + 3));
    body += fmt::format("<tr><th scope=\"row\">{}</th>", escape(label));
    for (const auto& column : columns) {
      const auto value = number(row, column.key);
      if (!value) {
        body += "<td class=\"number none\">–</td>";
        continue;
      }
      const auto bounds = interval(row, column.key + "_ci");
      const bool sure = bounds && (bounds->first > 0 || bounds->second < 0);
      const auto shown = bounds ? fmt::format("<small>{:+.3f} to {:+.3f}</small>", bounds->first, bounds->second) : "";
      body += fmt::format("<td class=\"number{}\"><span>{:+.4f}</span>{}{}</td>",
                          !sure        ? ""
                          : *value > 0 ? " better"
                                       : " worse",
                          *value, track(column, *value, bounds, true), shown);
    }
    body += "</tr>\n";
  }
  return table("metrics", "Differences between models", header_row(columns, "Difference"), body,
               "Paired differences over the same users, coloured where the 95 % interval leaves out zero.");
}

/// The model that the run is about: the last stage that it reached.
const Json* headline_model(const Json& models, std::string& name) {
  for (const char* wanted : {"calibrated", "fused", "global", "untrained", "encoder"}) {
    const Json* found = find(models, wanted);
    if (found != nullptr && found->is_object()) {
      name = wanted;
      return found;
    }
  }
  return nullptr;
}

std::string tiles(const Json& models) {
  std::string name;
  const Json* model = headline_model(models, name);
  if (model == nullptr) return "";
  std::string result;
  for (const auto& column : columns_of(Json{{name, *model}})) {
    if (order(column.key) == 4) continue;
    const auto bounds = interval(*model, column.key + "_ci");
    const auto below = bounds ? fmt::format("{:.3f} to {:.3f}", bounds->first, bounds->second) : "no interval";
    result += fmt::format("<div class=\"tile\"><span>{}</span><strong>{:.4f}</strong><small>{}</small></div>\n",
                          escape(metric_label(column.key)), number(*model, column.key).value(), below);
  }
  if (result.empty()) return "";
  return fmt::format("<p class=\"tiles-of\">{}</p>\n<div class=\"tiles\">\n{}</div>\n", escape(model_label(name)), result);
}

}  // namespace

std::string model_label(const std::string& name) {
  if (name == "item_mean") return "Item mean";
  if (name == "logistic") return "Logistic on counts";
  if (name == "encoder") return "Collaborative encoder";
  if (name == "untrained") return "Language model, untrained";
  if (name == "global") return "Global adapter";
  if (name == "fused") return "Fused experts";
  if (name == "calibrated") return "Fused experts and encoder";
  if (name.starts_with("expert:")) return "Expert " + name.substr(7);
  return name;
}

std::string metric_label(const std::string& name) {
  std::string result = name;
  if (order(name) < 4) {
    for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return result;
}

std::string results_section(const RunData& run) {
  const Json* models = find(run.evaluation, "models");
  if (models == nullptr || !models->is_object() || models->empty()) {
    return section("results", "Results", "",
                   missing("This run has not been evaluated yet; <code>thinkrec_train --config D/recipe.yaml --run-dir D "
                           "--stages evaluate</code> does it, where D is the run folder."));
  }
  const auto split = text_of(run.evaluation, "split");
  std::string facts = split ? fmt::format("Split “{}”", escape(*split)) : "Evaluation";
  if (const auto rows = number(run.evaluation, "rows")) facts += fmt::format(", {} rows", format_count(std::llround(*rows)));
  if (const auto users = number(run.evaluation, "users"))
    facts += fmt::format(" of {} users", format_count(std::llround(*users)));
  facts += ". Higher is better; intervals are 95 %, by bootstrap over users.";
  std::string body = tiles(*models);
  body += card("", metric_table(*models), "flush");
  const Json* differences = find(run.evaluation, "difference");
  if (differences != nullptr && differences->is_object() && !differences->empty())
    body += card("", difference_table(*differences), "flush");
  return section("results", "Results", facts, body);
}

}  // namespace thinkrec::html
