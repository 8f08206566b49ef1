#include "report/run_data.h"

#include <cmath>
#include <filesystem>
#include <functional>

#include "core/error.h"
#include "core/recipe.h"
#include "core/recipe_options.h"
#include "core/recipe_yaml.h"
#include "io/file.h"
#include "report/metrics_log.h"

namespace thinkrec::html {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 28;
constexpr std::size_t kMaxStages = 500;

void read_line(const nlohmann::json& line, std::map<std::string, std::size_t>& index, RunData& run) {
  const auto stage = line.find("stage");
  const auto step = line.find("step");
  if (stage == line.end() || step == line.end() || !stage->is_string() || !step->is_number()) {
    ++run.unreadable_lines;
    return;
  }
  const auto name = stage->get<std::string>();
  auto found = index.find(name);
  if (found == index.end()) {
    if (run.stages.size() >= kMaxStages) return;
    found = index.emplace(name, run.stages.size()).first;
    run.stages.emplace_back().name = name;
  }
  StageData& data = run.stages[found->second];
  const auto at = step->get<double>();
  if (std::isfinite(at) && std::abs(at) < 1e15) data.last_step = std::max(data.last_step, static_cast<std::int64_t>(at));
  for (const auto& [key, value] : line.items()) {
    if (!value.is_number() || key == "step") continue;
    const auto y = value.get<double>();
    if (!std::isfinite(y)) continue;
    if (key == "time") {
      data.first_time = data.first_time == 0 ? y : std::min(data.first_time, y);
      data.last_time = std::max(data.last_time, y);
      continue;
    }
    auto& series = data.series[key];
    series.x.push_back(at);
    series.y.push_back(y);
  }
}

void read_metrics(const std::string& path, std::map<std::string, std::size_t>& index, RunData& run) {
  const auto text = read_file(path, kMaxBytes);
  run.has_metrics = true;
  for (const std::string_view written : whole_lines(text)) {
    const auto line = nlohmann::json::parse(written, nullptr, false);
    if (line.is_object()) {
      read_line(line, index, run);
    } else {
      ++run.unreadable_lines;
    }
  }
}

void read_recipe(const std::string& path, RunData& run) {
  run.recipe_text = read_file(path, kMaxBytes);
  const std::function<void(const std::string&, const YamlNode&)> walk = [&](const std::string& name, const YamlNode& node) {
    if (node.kind == YamlNode::Kind::kScalar) run.recipe[name] = node.text;
    for (const auto& entry : node.entries) walk(name.empty() ? entry.key : name + "." + entry.key, *entry.value);
  };
  try {
    walk("", *parse_yaml(run.recipe_text));
    run.recipe_hash = Recipe::load(path, {}, recipe_options()).hash();
  } catch (const YamlError&) {
    run.recipe.clear();  // the text is shown all the same
  } catch (const Error&) {
    run.recipe_hash.clear();  // a recipe of another version: shown, without its hash
  }
}

}  // namespace

RunData read_run(const std::string& run_dir) {
  namespace fs = std::filesystem;
  RunData run;
  const auto folder = fs::weakly_canonical(fs::path(run_dir));
  run.name = folder.filename().string();
  const auto metrics = (folder / "metrics.jsonl").string();
  std::map<std::string, std::size_t> index;
  if (fs::exists(metrics)) read_metrics(metrics, index, run);
  for (const auto& path : MetricsLog::team_paths(metrics)) read_metrics(path, index, run);  // of a stage that still trains
  if (fs::exists(folder / "recipe.yaml")) read_recipe((folder / "recipe.yaml").string(), run);
  for (const auto& [name, json, remedy] :
       {std::tuple{"evaluation.json", &run.evaluation, "run thinkrec_train with the run's recipe and --stages evaluate"},
        {"run.json", &run.origin, "run thinkrec_train again"},
        {"teams.json", &run.teams, "delete it"},
        {"scaling.json", &run.scaling, "run launch/scaling.sh again"}}) {
    const auto path = (folder / name).string();
    if (!fs::exists(path)) continue;
    *json = Json::parse(read_file(path, kMaxBytes), nullptr, false);
    if (!json->is_object()) fail(ExitCode::kBadData, "{}: no JSON object: {}", path, remedy);
  }
  return run;
}

const Json* find(const Json& object, const std::string& key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> number(const Json& object, const std::string& key) {
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>())) return std::nullopt;
  return value->get<double>();
}

std::optional<std::string> text_of(const Json& object, const std::string& key) {
  const Json* value = find(object, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  return value->is_number() || value->is_boolean() ? std::optional(value->dump()) : std::nullopt;
}

std::optional<std::pair<double, double>> interval(const Json& object, const std::string& key) {
  const auto values = numbers(find(object, key));
  if (values.size() != 2 || values[0] > values[1]) return std::nullopt;
  return std::pair(values[0], values[1]);
}

std::vector<double> numbers(const Json* value) {
  std::vector<double> result;
  if (value == nullptr || !value->is_array()) return result;
  for (const auto& item : *value) {
    if (item.is_number() && std::isfinite(item.get<double>())) result.push_back(item.get<double>());
  }
  return result;
}

}  // namespace thinkrec::html
