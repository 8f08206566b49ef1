#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "report/charts.h"
#include "report/html_sections.h"
#include "report/markup.h"
#include "report/progress.h"
#include "report/table.h"

namespace thinkrec::html {
namespace {

constexpr std::size_t kMaxCards = 40;

enum Colors { kLoss = 0, kBce = 1, kCe = 2, kAuc = 3, kUauc = 4 };

const Series* series_of(const StageData& stage, const std::string& key) {
  const auto found = stage.series.find(key);
  return found == stage.series.end() || found->second.x.empty() ? nullptr : &found->second;
}

struct Wanted {
  const char* key;
  const char* label;
  int color;
};

/// Losses: raw values faint, smoothed over a fiftieth of the stage on top of them.
void add_losses(const StageData& stage, std::vector<Panel>& panels, std::vector<LegendEntry>& entries) {
  constexpr Wanted kWanted[] = {{"loss", "loss", kLoss}, {"bce", "BCE", kBce}, {"ce", "token CE", kCe}};
  Panel panel{"training loss", {}, 2};
  std::vector<Line> clear;
  for (const auto& wanted : kWanted) {
    const Series* series = series_of(stage, wanted.key);
    if (series == nullptr) continue;
    const double memory = std::clamp(static_cast<double>(series->x.size()) / 50, 1.0, 50.0);
    auto smooth = smoothed(*series, memory);
    entries.push_back({wanted.label, wanted.color, format_number(smooth.y.back(), 3)});
    if (wanted.color == kLoss && series->x.size() > 20) panel.lines.push_back({*series, wanted.color, true});
    clear.push_back({std::move(smooth), wanted.color});
  }
  panel.lines.insert(panel.lines.end(), clear.begin(), clear.end());
  if (!clear.empty()) panels.push_back(std::move(panel));
}

void add_validation(const StageData& stage, std::vector<Panel>& panels, std::vector<LegendEntry>& entries) {
  constexpr Wanted kWanted[] = {{"valid_auc", "validation AUC", kAuc}, {"valid_uauc", "validation UAUC", kUauc}};
  Panel panel{"validation", {}, 1};
  for (const auto& wanted : kWanted) {
    const Series* series = series_of(stage, wanted.key);
    if (series == nullptr) continue;
    const double best = *std::max_element(series->y.begin(), series->y.end());
    entries.push_back({wanted.label, wanted.color, fmt::format("{:.4f} at best", best), true});
    panel.lines.push_back({*series, wanted.color, false, true});
  }
  if (!panel.lines.empty()) panels.push_back(std::move(panel));
}

std::string stage_card(const StageData& stage) {
  std::vector<Panel> panels;
  std::vector<LegendEntry> entries;
  add_losses(stage, panels, entries);
  add_validation(stage, panels, entries);
  if (panels.empty()) return "";
  const auto chart =
      line_chart(fmt::format("Losses and validation metrics of the stage {} over its steps", stage.name), "step", panels);
  const auto facts = fmt::format("<p class=\"facts\">{} steps{}</p>\n", format_count(stage.last_step),
                                 stage.seconds() > 0 ? " in " + format_duration(stage.seconds()) : "");
  return card(escape(stage.name), facts + legend(entries) + chart);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

std::string speed_number(const StageData& stage, const std::string& key) {
  const Series* series = series_of(stage, key);
  if (series == nullptr) return "–";
  const double value = median(series->y);
  return value < 100 ? fmt::format("{:.1f}", value) : format_count(std::llround(std::min(value, 1e15)));
}

std::string peak_share(const StageData& stage) {
  const Series* series = series_of(stage, "peak_share");
  return series == nullptr ? "–" : fmt::format("{:.1f} %", 100 * std::clamp(median(series->y), 0.0, 99.0));
}

/// Of all steps' time, each step counted alike.
std::string wait_share(const StageData& stage) {
  const Series* series = series_of(stage, "wait_share");
  if (series == nullptr) return "–";
  const double sum = std::accumulate(series->y.begin(), series->y.end(), 0.0);
  return fmt::format("{:.2f} %", 100 * std::clamp(sum / static_cast<double>(series->y.size()), 0.0, 1.0));
}

std::string throughput(const RunData& run) {
  std::string rows;
  std::size_t count = 0;
  for (const auto& stage : run.stages) {
    const Series* tokens = series_of(stage, "tokens_per_s");
    const Series* shown = tokens != nullptr ? tokens : series_of(stage, "rows_per_s");
    if (shown == nullptr || ++count > kMaxCards) continue;
    const auto memory = std::max(1.0, static_cast<double>(shown->x.size()) / 50);
    const auto drawn =
        sparkline(fmt::format("Speed of the stage {} over its steps", stage.name), smoothed(*shown, memory), kLoss);
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td "
        "class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
        escape_path(stage.name), format_count(stage.last_step), speed_number(stage, "rows_per_s"),
        speed_number(stage, "tokens_per_s"), peak_share(stage), wait_share(stage), drawn);
  }
  if (rows.empty()) return missing("The run logged no speeds.");
  const char* head =
      "<th scope=\"col\">Stage</th><th scope=\"col\" class=\"number\">Steps</th><th scope=\"col\" class=\"number\">Rows/s</th>"
      "<th scope=\"col\" class=\"number\">Tokens/s</th><th scope=\"col\" class=\"number\">Of peak</th>"
      "<th scope=\"col\" class=\"number\">Waiting</th><th scope=\"col\">Over time</th>";
  const std::string more = count > kMaxCards ? missing(fmt::format("{} more stages are not in the table.", count - kMaxCards)) : "";
  return card(
      "Throughput",
      table(
          "speeds", "Throughput by stage", head, rows,
          "Medians over the steps; the small curves start at zero. Of peak: the multiplications and additions that the rows of a "
          "step need, a second, over those of a large matrix product on all ranks of the stage, measured when it began. Layers "
          "below the lowest trained one do not count. Waiting: the mean share of a step in which rank 0 waited for its rows to be made.") +
          more);
}

struct Row {
  std::string name;
  double start;
  double seconds;
};

/// From the log, when it has times: what ran when, experts side by side.
std::vector<Row> logged_rows(const RunData& run) {
  std::vector<Row> rows;
  double first = 0;
  for (const auto& stage : run.stages) {
    if (stage.first_time > 0) first = first == 0 ? stage.first_time : std::min(first, stage.first_time);
  }
  for (const auto& stage : run.stages) {
    if (stage.first_time > 0) rows.push_back({stage.name, stage.first_time - first, stage.seconds()});
  }
  return rows;
}

/// From the timings of evaluation.json, which say how long but not when: all from zero.
std::vector<Row> timed_rows(const RunData& run) {
  std::vector<Row> rows;
  const Json* timings = find(run.evaluation, "timings");
  if (timings == nullptr || !timings->is_object()) return rows;
  for (const auto& [name, value] : timings->items()) {
    const auto seconds = number(*timings, name);
    if (seconds && *seconds >= 0) rows.push_back({name, 0, *seconds});
  }
  const auto place = [](const Row& row) {
    const std::string_view order[] = {"encode", "activate", "group", "expert", "evaluate"};
    return std::find(std::begin(order), std::end(order), std::string_view(row.name).substr(0, row.name.find('/'))) - std::begin(order);
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return place(a) < place(b); });
  return rows;
}

std::string timeline(const std::string& title, const std::string& caption, const std::vector<Row>& rows, int color) {
  double end = 0;
  for (const auto& row : rows) end = std::max(end, row.start + row.seconds);
  if (rows.empty() || end <= 0) return "";
  std::string body;
  for (std::size_t i = 0; i < std::min(rows.size(), kMaxCards); ++i) {
    const auto& row = rows[i];
    body += fmt::format("<div class=\"lane\"><span>{}</span>{}<span class=\"number\">{}</span></div>\n", escape_path(row.name),
                        bar(row.start / end, std::max((row.start + row.seconds) / end, row.start / end + 0.004), color),
                        format_duration(row.seconds));
  }
  if (rows.size() > kMaxCards) body += missing(fmt::format("{} more stages are not drawn.", rows.size() - kMaxCards));
  return card(title, fmt::format("<p class=\"facts\">{}</p>\n<div class=\"lanes\">\n{}</div>\n", caption, body));
}

/// What the ranks of one group trained.
struct Team {
  std::int64_t first_rank = 0, ranks = 0;
  std::vector<const StageData*> stages;  // by their start
};

std::vector<Team> teams_of(const RunData& run) {
  std::vector<Team> teams;
  for (const auto& stage : run.stages) {
    const Json* entry = find(run.teams, stage.name);
    if (entry == nullptr || stage.first_time <= 0) continue;
    const auto first = number(*entry, "first_rank"), ranks = number(*entry, "ranks");
    if (!first || !ranks || !(*first >= 0 && *first < 1e6) || !(*ranks >= 1 && *ranks < 1e6)) continue;
    const auto from = static_cast<std::int64_t>(*first), count = static_cast<std::int64_t>(*ranks);
    auto team =
        std::find_if(teams.begin(), teams.end(), [&](const Team& one) { return one.first_rank == from && one.ranks == count; });
    if (team == teams.end()) team = teams.insert(teams.end(), {from, count, {}});
    team->stages.push_back(&stage);
  }
  std::sort(teams.begin(), teams.end(), [](const Team& a, const Team& b) {
    return std::pair(a.first_rank, a.ranks) < std::pair(b.first_rank, b.ranks);
  });
  return teams;
}

/// A lane a group of ranks, in it a bar an expert.
std::string team_timeline(const RunData& run) {
  const auto teams = teams_of(run);
  double start = 0, end = 0;
  for (const Team& team : teams) {
    for (const StageData* stage : team.stages) {
      start = start == 0 ? stage->first_time : std::min(start, stage->first_time);
      end = std::max(end, stage->last_time);
    }
  }
  if (!(end > start)) return "";
  std::vector<LegendEntry> entries;
  std::string body;
  std::size_t drawn = 0, all = 0;
  for (const Team& team : teams) all += team.stages.size();
  for (const Team& team : teams) {
    std::string bars;
    double first = end, last = start;
    for (const StageData* stage : team.stages) {
      if (++drawn > kMaxCards) break;
      const int color = static_cast<int>(entries.size());
      entries.push_back({stage->name, color, format_duration(stage->seconds()), true});
      const double from = (stage->first_time - start) / (end - start), to = (stage->last_time - start) / (end - start);
      bars += bar(from, std::max(to, from + 0.004), color);
      first = std::min(first, stage->first_time);
      last = std::max(last, stage->last_time);
    }
    if (bars.empty()) break;
    const auto label = team.ranks == 1 ? fmt::format("Rank {}", team.first_rank)
                                       : fmt::format("Ranks {}–{}", team.first_rank, team.first_rank + team.ranks - 1);
    body += fmt::format("<div class=\"lane\"><span>{}</span><div class=\"bars\">{}</div><span class=\"number\">{}</span></div>\n", label,
                        bars, format_duration(last - first));
  }
  if (all > kMaxCards) body += missing(fmt::format("{} more experts are not drawn; teams.json has them.", all - kMaxCards));
  return card("Experts over groups of ranks",
              fmt::format("<p class=\"facts\">From the first to the last logged step of any expert; bars of one group above each other "
                          "are experts that shared its batches</p>\n{}<div class=\"lanes\">\n{}</div>\n",
                          legend(entries), body));
}

}  // namespace

std::string training_section(const RunData& run) {
  const char* title = "Training";
  std::string cards;
  std::size_t count = 0;
  std::size_t left_out = 0;
  for (const auto& stage : run.stages) {
    const auto drawn = stage_card(stage);
    if (drawn.empty()) continue;
    if (++count > kMaxCards) {
      ++left_out;
    } else {
      cards += drawn;
    }
  }
  if (cards.empty()) {
    return section(
        "training", title, "",
        missing(run.has_metrics ? "metrics.jsonl holds no losses yet." : "There is no metrics.jsonl in this run folder."));
  }
  std::string body = "<div class=\"grid\">\n" + cards + "</div>\n";
  if (left_out > 0) body += missing(fmt::format("{} more stages are not drawn; metrics.jsonl has them.", left_out));
  if (run.unreadable_lines > 0)
    body += missing(fmt::format("{} lines of metrics.jsonl could not be read.", run.unreadable_lines));
  return section("training", title,
                 "Strong lines are smoothed, the faint one is the raw loss of each step. Numbers beside the names are the last "
                 "smoothed values.",
                 body);
}

std::string time_section(const RunData& run) {
  const auto timed = timed_rows(run);
  double total = 0;
  for (const auto& row : timed) total += row.seconds;
  const auto durations = timeline("Time by stage", format_duration(total) + " in all", timed, kLoss);
  const auto logged =
      timeline("Timeline of the log", "From the first to the last logged step; bars above each other ran side by side",
               logged_rows(run), kCe);
  const auto teams = team_timeline(run);
  const auto lanes = durations.empty() && logged.empty() ? missing("The run has no timings.")
                                                         : "<div class=\"grid\">\n" + durations + logged + teams + "</div>\n";
  return section("time", "Time and speed", "", lanes + throughput(run));
}

}  // namespace thinkrec::html
