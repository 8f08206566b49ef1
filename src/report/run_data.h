#pragma once
// What the report knows of a run: its files, read with distrust (a run may have died while it wrote them).

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace thinkrec::html {

struct Series {
  std::vector<double> x;
  std::vector<double> y;
};

/// The lines of one stage of metrics.jsonl.
struct StageData {
  std::string name;
  std::map<std::string, Series> series;  ///< by key; x is the step; finite values only
  std::int64_t last_step = 0;
  double first_time = 0;  ///< seconds since 1970; 0: unknown
  double last_time = 0;
  double seconds() const { return last_time > first_time ? last_time - first_time : 0; }
};

struct RunData {
  std::string name;               ///< of the run folder
  std::vector<StageData> stages;  ///< in the order in which they began
  bool has_metrics = false;
  std::size_t unreadable_lines = 0;
  nlohmann::ordered_json evaluation;          ///< null: missing
  nlohmann::ordered_json origin;              ///< run.json: program, commit, ranks and hashes; null: missing
  nlohmann::ordered_json teams;               ///< teams.json: {stage: {first_rank, ranks}}; null: missing
  nlohmann::ordered_json scaling;             ///< scaling.json, as launch/scaling.sh measures it; null: missing
  std::string recipe_text;                    ///< empty: missing
  std::map<std::string, std::string> recipe;  ///< scalars by dotted name; empty when it is no YAML
  std::string recipe_hash;                    ///< empty: not to be had
};

/// Errors: kBadData when one of the JSON files is no JSON object, or a file is longer than 256 MiB.
RunData read_run(const std::string& run_dir);

// Lookups that distrust: nothing when a part is missing, of another type or not finite.
using Json = nlohmann::ordered_json;
const Json* find(const Json& object, const std::string& key);
std::optional<double> number(const Json& object, const std::string& key);
std::optional<std::string> text_of(const Json& object, const std::string& key);
std::optional<std::pair<double, double>> interval(const Json& object, const std::string& key);

/// The numbers of an array; what is none is left out. Empty when `value` is null or no array.
std::vector<double> numbers(const Json* value);

}  // namespace thinkrec::html
