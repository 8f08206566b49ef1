#pragma once
// metrics.jsonl: one JSON object a line, {"stage": ..., "step": ..., "time": seconds since 1970, values...}; survives kill -9.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace thinkrec {

class MetricsLog {
 public:
  /// Opens `path` for appending; a half-written last line is cut off. With active false (ranks other than 0) nothing is done,
  /// here or later. Error kIo, as for every other call.
  MetricsLog(std::string path, bool active);

  /// Appends one line and flushes it. NaN and infinities become null.
  void write(const std::string& stage, std::int64_t step, const nlohmann::json& values);

  /// Drops the lines of that stage with a step greater than `step` (atomic rewrite), so that a restart from step `step` neither
  /// repeats nor misses one. Lines that are not JSON are dropped as well.
  void resume(const std::string& stage, std::int64_t step);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void open();

  std::string path_;
  bool active_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace thinkrec
