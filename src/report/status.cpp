#include "report/status.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/log.h"
#include "core/utc_time.h"
#include "io/file.h"

namespace thinkrec {
namespace {

constexpr std::chrono::seconds kBetween(5);

/// True where the file has this value under `key`.
bool says(const std::string& path, const char* key, const nlohmann::json& value) {
  std::ifstream in(path);
  const auto said = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  const auto found = said.is_object() ? said.find(key) : said.end();
  return found != said.end() && *found == value;
}

}  // namespace

void StatusFile::running(const std::string& stage) {
  stage_ = stage;
  step_ = 0;
  write(text("running", 0, ""));
}

void StatusFile::step(const std::string& what, std::int64_t step) {
  stage_ = what;
  step_ = step;
  if (std::chrono::steady_clock::now() - written_ >= kBetween) write(text("running", 0, ""));
}

void StatusFile::ended(const std::string& state, int code, const std::string& reason) noexcept {
  try {
    if (!path_.empty() && (leader_ || state == "failed")) write_file_atomic(path_, text(state, code, reason));
  } catch (const std::exception& error) {
    log_warning("{}", error.what());
  }
}

void StatusFile::lost(const std::string& path, const std::string& stage, std::int64_t step, const std::string& reason) noexcept {
  if (says(path, "code", static_cast<int>(ExitCode::kPeerLost))) return;
  StatusFile file(path);
  file.stage_ = stage;
  file.step_ = step;
  file.ended("failed", static_cast<int>(ExitCode::kPeerLost), reason);
}

void StatusFile::write(const std::string& text) {
  written_ = std::chrono::steady_clock::now();
  if (path_.empty() || !leader_ || (begun_ && says(path_, "state", "failed"))) return;
  const std::string staging = path_ + ".tmp";
  std::ofstream out(staging);
  out << text;
  out.close();
  std::error_code ignored;  // there will be a next one
  if (out) {
    std::filesystem::rename(staging, path_, ignored);
    begun_ |= !ignored;
  } else {  // on a full disk the last one stays
    std::filesystem::remove(staging, ignored);
  }
}

std::string StatusFile::text(const std::string& state, int code, const std::string& reason) const {
  const nlohmann::json status = {{"state", state}, {"stage", stage_},  {"step", step_},
                                 {"code", code},   {"reason", reason}, {"time", utc_time()}};
  return status.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace thinkrec
