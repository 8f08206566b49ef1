#pragma once
// metrics.jsonl: one JSON object a line, {"stage": ..., "step": ..., "time": seconds since 1970, values...}; survives kill -9. The same
// scalars go to TensorBoard. Teams of ranks that train at once, but for rank 0's, write to files of their own beside it, as appending to one
// file from several nodes loses lines on a network disk; gather puts them together.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/tensorboard.h"

namespace thinkrec {

/// The whole lines of a log; a half-written last one is left out.
std::vector<std::string_view> whole_lines(std::string_view text);

class MetricsLog {
 public:
  /// Opens `path` for appending; a half-written last line is cut off. With active false (ranks other than 0) nothing is done,
  /// here or later. With a board_folder the scalars also go to a TensorBoard event file there. Error kIo, as for every other call.
  MetricsLog(std::string path, bool active, std::string board_folder = "");

  /// Appends one line and flushes it. NaN and infinities become null.
  void write(const std::string& stage, std::int64_t step, const nlohmann::json& values);

  /// Drops the lines of that stage with a step greater than `step` (atomic rewrite), so that a restart from step `step` neither
  /// repeats nor misses one; and of that very step those that have `again`, where it is not empty. Lines that are not JSON are dropped
  /// as well. Where lines went, or at the first call, TensorBoard's events are written anew from what is left; call it while nobody else
  /// writes to the board's folder.
  void resume(const std::string& stage, std::int64_t step, const std::string& again = "");

  /// Moves the lines of all team files into this log (atomic rewrite, no line twice wherever it is killed). Call it while no team
  /// writes, at the start too: a job that was killed leaves its teams' files.
  void gather();

  /// Where a team writes: metrics.jsonl -> metrics.team-3.jsonl.
  static std::string team_path(const std::string& path, int team);
  /// The team files beside `path`, sorted.
  static std::vector<std::string> team_paths(const std::string& path);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void open();

  std::string path_, board_folder_;
  bool active_;
  std::unique_ptr<std::FILE, Close> file_;
  std::optional<TensorBoardWriter> board_;
};

}  // namespace thinkrec
