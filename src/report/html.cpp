#include "report/html.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>

#include "core/error.h"
#include "io/file.h"
#include "report/html_sections.h"
#include "report/markup.h"
#include "report/progress.h"
#include "report/run_data.h"
#include "report/table.h"

namespace thinkrec {
namespace html {
namespace {

std::string utc(double seconds) {
  if (!(seconds > 0) || seconds > 4e10) return "";
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min);
}

std::string fact(const char* label, const std::string& value) {
  return value.empty() ? "" : fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", label, escape(value));
}

std::string recipe_value(const RunData& run, const std::string& name) {
  const auto found = run.recipe.find(name);
  return found == run.recipe.end() ? "" : found->second;
}

std::string file_name(const std::string& path) {
  const std::filesystem::path parts(path);
  return parts.has_filename() ? parts.filename().string() : parts.parent_path().filename().string();
}

std::string header(const RunData& run) {
  double first = 0;
  double last = 0;
  for (const auto& stage : run.stages) {
    if (stage.first_time > 0) first = first == 0 ? stage.first_time : std::min(first, stage.first_time);
    last = std::max(last, stage.last_time);
  }
  double total = last - first;
  if (const Json* timings = find(run.evaluation, "timings"); timings != nullptr && timings->is_object()) {
    double sum = 0;
    for (const auto& [name, value] : timings->items()) sum += number(*timings, name).value_or(0);
    if (sum > 0) total = sum;
  }
  const Json* data = find(run.evaluation, "data");
  std::string facts;
  facts += fact("Data set", data != nullptr ? text_of(*data, "name").value_or("") : file_name(recipe_value(run, "data.path")));
  facts += fact("Base model", file_name(recipe_value(run, "model.path")));
  facts += fact("Encoder", recipe_value(run, "encoder.kind"));
  facts += fact("Groups", recipe_value(run, "group.count"));
  facts += fact("Seed", recipe_value(run, "run.seed"));
  facts += fact("Started", utc(first));
  facts += fact("Time", total > 0 ? format_duration(total) : "");
  facts += fact("Recipe", run.recipe_hash.substr(0, 12));
  const auto list = facts.empty() ? "" : fmt::format("<dl class=\"facts-grid\">\n{}</dl>\n", facts);
  return fmt::format("<header>\n<p class=\"mark\">thinkrec</p>\n<h1>{}</h1>\n{}</header>\n", escape(run.name), list);
}

std::string navigation() {
  std::string links;
  for (const auto& [id, label] : {std::pair{"results", "Results"},
                                  {"training", "Training"},
                                  {"gate", "Gating"},
                                  {"groups", "User groups"},
                                  {"time", "Time and speed"},
                                  {"scaling", "Scaling"},
                                  {"recipe", "Recipe"}}) {
    links += fmt::format("<a href=\"#{}\">{}</a>", id, label);
  }
  return fmt::format("<nav aria-label=\"Sections\">{}</nav>\n", links);
}

std::string recipe_section(const RunData& run) {
  std::string rows;
  const auto row = [&](const std::string& name, const std::string& value) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td><code>{}</code></td></tr>\n", escape(name), escape(value));
  };
  if (!run.recipe_hash.empty()) row("Recipe (SHA-256 of what affects the result)", run.recipe_hash);
  if (const auto version = text_of(run.origin, "thinkrec")) row("thinkrec", *version);
  if (const auto commit = text_of(run.origin, "commit"); commit && !commit->empty()) row("Commit", *commit);
  if (const Json* hashes = find(run.origin, "hashes"); hashes != nullptr) {
    for (const auto& [name, label] : {std::pair{"data set", "Data set (SHA-256)"}, {"model", "Base model (SHA-256)"}, {"tokenizer", "Tokenizer (SHA-256)"}}) {
      if (const auto hash = text_of(*hashes, name)) row(label, *hash);
    }
  }
  if (const Json* data = find(run.evaluation, "data"); data != nullptr && data->is_object()) {
    std::size_t count = 0;
    for (const auto& [name, value] : data->items()) {
      if (const auto text = text_of(*data, name); text && ++count <= 50) row("Data: " + name, *text);
    }
  }
  std::string body =
      rows.empty() ? missing("No hashes were saved with this run.") : card("", table("hashes", "Hashes", "", rows, ""), "flush");
  if (run.recipe_text.empty()) {
    body += missing("There is no recipe.yaml in this run folder.");
  } else {
    body += fmt::format("<details class=\"card\"><summary>The resolved recipe</summary>\n<pre>{}</pre></details>\n",
                        escape(run.recipe_text));
  }
  return section("recipe", "Recipe and hashes", "Same program, recipe, data and seed: same numbers.", body);
}

std::string page(const RunData& run) {
  std::string text = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>thinkrec: "
      "{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      escape(run.name), style());
  text += header(run) + navigation() + results_section(run) + training_section(run) + gate_section(run) + groups_section(run) +
          time_section(run) + scaling_section(run) + recipe_section(run);
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return text + fmt::format("<footer>Written by thinkrec, {}</footer>\n</main>\n</body>\n</html>\n", utc(now));
}

}  // namespace
}  // namespace html

void write_report(const std::string& run_dir) {
  write_file_atomic((std::filesystem::path(run_dir) / "report.html").string(), html::page(html::read_run(run_dir)));
}

}  // namespace thinkrec
