#include <algorithm>
#include <map>

#include "core/error.h"
#include "report/charts.h"
#include "report/html_sections.h"
#include "report/markup.h"
#include "report/table.h"

namespace thinkrec::html {
namespace {

constexpr std::size_t kMaxRows = 50;

/// By number of ranks, the median of the values under `key`; rows without any are left out.
std::map<double, double> medians(const Json& scaling, const char* kind, const char* key) {
  std::map<double, double> result;
  const Json* rows = find(scaling, kind);
  if (rows == nullptr || !rows->is_array()) return result;
  for (const auto& row : *rows) {
    const auto ranks = number(row, "ranks");
    auto values = numbers(find(row, key));
    std::erase_if(values, [](double value) { return !(value > 1e-9 && value < 1e15); });
    if (!ranks || !(*ranks >= 1 && *ranks < 1e6) || values.empty() || result.size() >= kMaxRows) continue;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    result[*ranks] = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  }
  return result;
}

struct Kind {
  const char* label;
  int color;
  std::map<double, double> values;  // tokens a second, or seconds
  bool seconds;
  /// Of `ranks` against one rank; 1 is perfect.
  double efficiency(double ranks) const {
    const double one = values.at(1);
    return seconds ? one / (ranks * values.at(ranks)) : values.at(ranks) / (ranks * one);
  }
};

}  // namespace

std::string scaling_section(const RunData& run) {
  const char* title = "Scaling";
  std::vector<Kind> kinds = {{"global stage", 0, medians(run.scaling, "global", "tokens_per_s"), false},
                             {"experts", 2, medians(run.scaling, "experts", "seconds"), true}};
  // Older figures count the tokens of rows that share their beginnings in full: their ranks did unequal work a token.
  const bool computed = text_of(run.scaling, "tokens").value_or("") == "computed";
  const bool left_out = !computed && kinds[0].values.contains(1);
  if (!computed) kinds.erase(kinds.begin());
  std::erase_if(kinds, [](const Kind& kind) { return !kind.values.contains(1); });
  const char* stale =
      "The global stage is left out: its figures count tokens that were not computed; launch/scaling.sh measures it anew.";
  if (kinds.empty())
    return section("scaling", title, left_out ? stale : "",
                   missing("Not measured yet; launch/scaling.sh does it and adds the plot here."));
  Panel panel{"efficiency", {}, 1};
  std::vector<LegendEntry> entries;
  std::string rows;
  for (const Kind& kind : kinds) {
    Series series;
    for (const auto& [ranks, value] : kind.values) {
      series.x.push_back(ranks);
      series.y.push_back(kind.efficiency(ranks));
      rows += fmt::format(
          "<tr><th scope=\"row\">{}</th><td class=\"number\">{:.0f}</td><td class=\"number\">{}</td><td class=\"number\">{:.3f}</td></tr>\n",
          kind.label, ranks, kind.seconds ? fmt::format("{:.1f} s", value) : fmt::format("{:.0f} tokens/s", value),
          kind.efficiency(ranks));
    }
    entries.push_back({kind.label, kind.color, fmt::format("{:.3f} at {:.0f}", series.y.back(), series.x.back()), true});
    panel.lines.push_back({std::move(series), kind.color, false, true});
  }
  const auto text = [&](const char* key) { return text_of(run.scaling, key).value_or(""); };
  std::string facts;
  if (!text("command").empty()) facts += fmt::format("<code>{}</code>", escape(text("command")));
  if (!text("cpu").empty()) facts += fmt::format("{}{} cores, {}", facts.empty() ? "" : "; ", escape(text("cores")), escape(text("cpu")));
  if (!text("commit").empty()) facts += fmt::format("{}commit {}", facts.empty() ? "" : "; ", escape(text("commit")));
  const char* head =
      "<th scope=\"col\">Stage</th><th scope=\"col\" class=\"number\">Ranks</th><th scope=\"col\" class=\"number\">Median</th>"
      "<th scope=\"col\" class=\"number\">Efficiency</th>";
  std::string body = card("Efficiency over ranks", legend(entries) + line_chart("Efficiency over the number of ranks", "ranks", {panel}));
  body += card("Figures", table("", "Scaling over ranks", head, rows, ""));
  return section(
      "scaling", title,
      "One is perfect. Global stage: tokens a second over those of one rank, times the ranks, at the same rows a rank. Experts: "
      "seconds of one rank, that trains one after the other, over those of all ranks, times the ranks. " +
          (facts.empty() ? facts : "Measured by " + facts + ". ") + (left_out ? stale : ""),
      "<div class=\"grid\">\n" + body + "</div>\n");
}

}  // namespace thinkrec::html
