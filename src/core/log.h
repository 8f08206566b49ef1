#pragma once
// Messages for people, on standard error: "12:30:05 info message". Results go to standard output and never through here.

#include <fmt/format.h>

#include <string>
#include <utility>

namespace thinkrec {

/// Call once, after the world is known. Rank 0 prints information and warnings; other ranks print warnings only, marked "[rank
/// r]". Before the call the process behaves as rank 0.
void init_log(const std::string& program, int rank);

/// Tells the log that a live progress line is open on the terminal: the next message wipes it first. Set by report/progress.
void set_live_line(bool open);

/// The formatted line itself; behind log_info and log_warning.
void write_log(bool warning, const std::string& message);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  write_log(false, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  write_log(true, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace thinkrec
