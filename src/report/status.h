#pragma once
// status.json of a run: where it is and how it ended, for people and job scripts; mpirun may turn a program's code into another.

#include <chrono>
#include <cstdint>
#include <string>

namespace thinkrec {

class StatusFile {
 public:
  /// `path` empty: nothing is written. Ranks other than the leader write only that the run has failed.
  explicit StatusFile(std::string path, bool leader = true) : path_(std::move(path)), leader_(leader) {}

  /// A stage begins. The first call replaces what an earlier job has left; later ones and step() write nothing where another rank
  /// has said that this job has failed.
  void running(const std::string& stage);
  /// A step of it is about to begin; written at most every few seconds.
  void step(const std::string& what, std::int64_t step);
  /// The end: "done", "stopped" or "failed", with the exit code and why. Keeps stage and step. Never throws: the end has its own reason.
  void ended(const std::string& state, int code, const std::string& reason) noexcept;
  /// The end of a run in which ranks hang, from a watchdog's thread and any rank: "failed", code 71. The first to say so is right: a later
  /// one may take a rank for gone that the first alarm has ended.
  static void lost(const std::string& path, const std::string& stage, std::int64_t step, const std::string& reason) noexcept;

 private:
  void write(const std::string& text);  // without waiting for the disk
  std::string text(const std::string& state, int code, const std::string& reason) const;

  std::string path_, stage_;
  bool leader_ = true, begun_ = false;
  std::int64_t step_ = 0;
  std::chrono::steady_clock::time_point written_;
};

}  // namespace thinkrec
