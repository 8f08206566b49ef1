#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "report/charts.h"
#include "report/html_sections.h"
#include "report/markup.h"
#include "report/table.h"

namespace thinkrec::html {
namespace {

constexpr std::size_t kMaxGroups = 64;

std::string lane(const std::string& label, double count, double total, double most, int color) {
  return fmt::format("<div class=\"lane\"><span>{}</span>{}<span class=\"number\">{} <small>{:.1f} %</small></span></div>\n",
                     escape(label), bar(0, most > 0 ? count / most : 0, color), format_count(std::llround(std::min(count, 1e15))),
                     total > 0 ? 100 * count / total : 0);
}

std::string more_left_out(std::size_t count, const char* what) {
  return missing(fmt::format("{} more {} are not drawn; evaluation.json has them.", count, what));
}

/// How far two groups are apart (Cohen's d); empty where there are not two.
std::string apart(const RunData& run) {
  const Json* difference = find(run.evaluation, "cohens_d");
  if (difference == nullptr) return "";
  std::string text;
  for (const auto& [key, what] : {std::pair{"features", "vectors"}, {"train_rows", "numbers of training rows"}}) {
    const char* lead = text.empty() ? " Between the two groups are " : " and ";
    if (const auto d = number(*difference, key)) text += fmt::format("{}{:.3g} standard deviations of the {}", lead, *d, what);
  }
  return text.empty() ? text : text + ".";
}

}  // namespace

std::string gate_section(const RunData& run) {
  const Json* gate = find(run.evaluation, "gate");
  if (gate == nullptr || !gate->is_object()) {
    return section("gate", "Gating", "", missing("No gating: the run has no experts, or they have not been evaluated."));
  }
  const auto global = std::max(0.0, number(*gate, "global").value_or(0));
  const auto merged = std::max(0.0, number(*gate, "merged").value_or(0));
  auto single = numbers(find(*gate, "single"));
  double total = global + merged;
  double most = std::max(global, merged);
  for (double& count : single) {
    count = std::max(0.0, count);
    total += count;
    most = std::max(most, count);
  }
  std::string lanes = lane("Global adapter", global, total, most, 5);
  for (std::size_t i = 0; i < std::min(single.size(), kMaxGroups); ++i)
    lanes += lane(fmt::format("Expert {} alone", i), single[i], total, most, static_cast<int>(i));
  lanes += lane("Experts merged", merged, total, most, 7);
  if (single.size() > kMaxGroups) lanes += more_left_out(single.size() - kMaxGroups, "experts");
  std::string body = card("Who answers for the users", "<div class=\"lanes\">\n" + lanes + "</div>\n");
  const auto bins = numbers(find(*gate, "max_weight_histogram"));
  if (!bins.empty() && bins.size() <= 1000) {
    body += card("How sure the gate is",
                 histogram("Histogram of the largest gate weight of each user", "largest weight of a user", 0, 1, bins));
  }
  return section("gate", "Gating",
                 fmt::format("{} users. Undecided users are served by the global adapter, decided ones by one expert, the others "
                             "by a weighted sum of experts.",
                             format_count(std::llround(std::min(total, 1e15)))),
                 "<div class=\"grid\">\n" + body + "</div>\n");
}

std::string groups_section(const RunData& run) {
  const Json* groups = find(run.evaluation, "groups");
  if (groups == nullptr || !groups->is_array() || groups->empty()) {
    return section("groups", "User groups", "", missing("No map of user groups was saved with this run."));
  }
  std::vector<ScatterGroup> points;
  std::vector<LegendEntry> entries;
  std::string rows;
  double all_users = 0;
  double all_rows = 0;
  for (const auto& group : *groups) {
    all_users += number(group, "users").value_or(0);
    all_rows += number(group, "train_rows").value_or(0);
  }
  for (std::size_t i = 0; i < std::min(groups->size(), kMaxGroups); ++i) {
    const Json& group = (*groups)[i];
    const int color = static_cast<int>(i);
    points.push_back({{numbers(find(group, "x")), numbers(find(group, "y"))}, color});
    const auto cell = [&](const char* key, double all) {
      const auto value = number(group, key);
      if (!value) return std::string("<td class=\"number none\">–</td>");
      const auto share = all > 0 ? fmt::format(" <small>{:.1f} %</small>", 100 * *value / all) : "";
      return fmt::format("<td class=\"number\">{}{}</td>", format_count(std::llround(std::min(*value, 1e15))), share);
    };
    rows += fmt::format("<tr><th scope=\"row\"><i class=\"swatch {}\"></i>Group {}</th>{}{}</tr>\n", color_class(color), i,
                        cell("users", all_users), cell("train_rows", all_rows));
    entries.push_back({fmt::format("group {}", i), color, "", true});
  }
  const auto sizes = table("", "Sizes of the groups",
                           "<th scope=\"col\">Group</th><th scope=\"col\" class=\"number\">Users</th><th scope=\"col\" "
                           "class=\"number\">Training rows</th>",
                           rows, "");
  const auto map = scatter("Map of the users, coloured by group", points);
  std::string body = map.empty() ? "" : card("Map", legend(entries) + map);
  body += card("Sizes", sizes);
  if (groups->size() > kMaxGroups) body += more_left_out(groups->size() - kMaxGroups, "groups");
  return section(
      "groups", "User groups",
      "Users near each other on the map have similar collaborative vectors. It shows up to 400 users of a group." + apart(run),
      "<div class=\"grid\">\n" + body + "</div>\n");
}

}  // namespace thinkrec::html
