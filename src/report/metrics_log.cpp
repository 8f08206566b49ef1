#include "report/metrics_log.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "core/error.h"
#include "io/file.h"

namespace thinkrec {
namespace {

double seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) / 1000;
}

/// True when the line is to stay: JSON, and neither a later step of the stage that starts again nor what that step makes again.
bool stays(std::string_view line, const std::string& stage, std::int64_t step, const std::string& again) {
  const auto value = nlohmann::json::parse(line, nullptr, false);
  if (!value.is_object()) return false;
  const auto found_stage = value.find("stage");
  const auto found_step = value.find("step");
  if (found_stage == value.end() || found_step == value.end() || !found_stage->is_string() || !found_step->is_number_integer())
    return true;
  if (*found_stage != stage || found_step->get<std::int64_t>() < step) return true;
  return found_step->get<std::int64_t>() == step && (again.empty() || !value.contains(again));
}

}  // namespace

std::vector<std::string_view> whole_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string_view::npos; at = end + 1)
    lines.push_back(text.substr(at, end - at));
  return lines;
}

MetricsLog::MetricsLog(std::string path, bool active, std::string board_folder)
    : path_(std::move(path)), board_folder_(std::move(board_folder)), active_(active) {
  if (!active_) return;
  if (std::filesystem::is_regular_file(path_)) {
    const auto text = read_file(path_);
    const auto end = text.rfind('\n');
    const std::size_t whole = end == std::string::npos ? 0 : end + 1;
    std::error_code error;
    if (whole != text.size()) std::filesystem::resize_file(path_, whole, error);
    if (error) fail(ExitCode::kIo, "{}: a half-written last line cannot be cut off: {}", path_, error.message());
  }
  open();
}

void MetricsLog::open() {
  file_.reset(std::fopen(path_.c_str(), "ab"));
  if (!file_) fail(ExitCode::kIo, "{}: cannot be opened for the metrics: {}", path_, std::strerror(errno));
}

void MetricsLog::write(const std::string& stage, std::int64_t step, const nlohmann::json& values) {
  if (!active_) return;
  nlohmann::ordered_json line = {{"stage", stage}, {"step", step}, {"time", seconds_since_1970()}};
  for (const auto& [key, value] : values.items()) {
    if (!line.contains(key)) line[key] = value;
  }
  const auto text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0) {
    fail(ExitCode::kIo, "{}: writing the metrics failed: {}", path_, std::strerror(errno));
  }
  if (board_folder_.empty()) return;
  if (!board_) board_.emplace(board_folder_, true);
  board_->write(stage, step, values);
}

void MetricsLog::resume(const std::string& stage, std::int64_t step, const std::string& again) {
  if (!active_ || !std::filesystem::is_regular_file(path_)) return;
  const auto text = read_file(path_);
  std::string kept;
  for (const std::string_view line : whole_lines(text)) {
    if (stays(line, stage, step, again)) kept.append(line).append("\n");
  }
  const bool dropped = kept.size() != text.size();
  if (dropped) {
    file_.reset();
    write_file_atomic(path_, kept);
    open();
  }
  if (!board_folder_.empty() && (dropped || !board_)) {
    board_.reset();
    board_.emplace(board_folder_, true, path_);
  }
}

void MetricsLog::gather() {
  if (!active_) return;
  const auto paths = team_paths(path_);
  if (paths.empty()) return;
  const std::string before = read_file(path_);
  const auto lines = whole_lines(before);
  const std::set<std::string_view> there(lines.begin(), lines.end());
  std::string added;
  for (const std::string& path : paths) {
    const std::string text = read_file(path);
    for (const std::string_view line : whole_lines(text)) {
      if (!there.contains(line)) added.append(line).append("\n");
    }
  }
  if (!added.empty()) {
    file_.reset();
    write_file_atomic(path_, before + added);
    open();
  }
  std::error_code ignored;  // the lines of one that stays are known the next time
  for (const std::string& path : paths) std::filesystem::remove(path, ignored);
}

std::string MetricsLog::team_path(const std::string& path, int team) {
  const std::filesystem::path log(path);
  return (log.parent_path() / fmt::format("{}.team-{}{}", log.stem().string(), team, log.extension().string())).string();
}

std::vector<std::string> MetricsLog::team_paths(const std::string& path) {
  const std::filesystem::path log(path);
  const std::string start = log.stem().string() + ".team-", end = log.extension().string();
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(log.parent_path().empty() ? "." : log.parent_path(), none)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(start) && name.ends_with(end)) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace thinkrec
