#pragma once
// Whole jobs, started through a shell.

#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace thinkrec {

struct Outcome {
  int code = -1;
  std::string output;
  double seconds = 0.0;
};

/// Through a shell, without what an outer mpirun or srun may have left in the environment.
inline Outcome run(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  const std::string clean =
      "for v in $(env | sed -n 's/^\\(\\(OMPI\\|PMIX\\|PMI\\|SLURM\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset $v; done; ";
  Outcome outcome;
  FILE* pipe = popen((clean + "exec 2>&1; " + command).c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

/// `job` under mpirun.
inline std::string on(int ranks, const std::string& job) {
  return "timeout 60 '" THINKREC_SOURCE_DIR "/launch/run.sh' --ranks " + std::to_string(ranks) + " " + job;
}

constexpr double kAtOnce = 30.0;  // seconds; a job that waits for its lost rank waits for ever

}  // namespace thinkrec
