#include "report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/log.h"
#include "report/table.h"

namespace thinkrec {
namespace {

constexpr double kTerminalInterval = 0.1;  // seconds between redraws of the live line
constexpr double kPlainInterval = 10;      // seconds between log lines

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Columns of the terminal that standard error ends at, 0 without one. Behind mpirun it is a pipe: launch/run.sh tells what is at its
/// other end in THINKREC_TERMINAL.
int terminal_width() {
  if (isatty(STDERR_FILENO) == 1) {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
  }
  const char* told = std::getenv("THINKREC_TERMINAL");
  if (told == nullptr) return 0;
  const auto columns = std::strtol(told, nullptr, 10);
  return columns >= 20 && columns <= 10000 ? static_cast<int>(columns) : 0;
}

std::string time_left(std::int64_t done, std::int64_t total, double rate, const BesideSteps& beside) {
  if (total <= done || rate <= 0) return "";
  return fmt::format("ETA {}", format_duration((static_cast<double>(total - done) + beside.steps) / rate + beside.seconds));
}

void append(std::string& line, const std::string& part) {
  if (!part.empty()) line += (line.empty() ? "" : "  ") + part;
}

std::string counter(std::int64_t done, std::int64_t total) {
  return total > 0 ? fmt::format("{}/{}", done, total) : fmt::format("{}", done);
}

}  // namespace

void RateMeter::add(double steps, double seconds) {
  if (!(seconds >= 0)) return;
  const double keep = std::exp(-seconds / memory_);
  steps_ = steps_ * keep + steps;
  seconds_ = seconds_ * keep + seconds;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  if (seconds > 1e14) return "-";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const auto minutes = (whole + 30) / 60;
  if (minutes < 24 * 60) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  const auto hours = (minutes + 30) / 60;
  return fmt::format("{} d {:02} h", hours / 24, hours % 24);
}

std::string progress_line(const std::string& stage, std::int64_t done, std::int64_t total, const std::string& detail, double rate,
                          int width, const BesideSteps& beside) {
  const auto columns = static_cast<std::size_t>(std::max(width, 1));
  std::string tail;
  append(tail, counter(done, total));
  append(tail, detail);
  append(tail, time_left(done, total, rate, beside));
  std::string line = stage;
  const std::size_t used = display_width(stage) + display_width(tail) + 5;  // brackets and blanks
  if (total > 0 && used + 8 <= columns) {
    const auto bar = static_cast<std::int64_t>(std::min<std::size_t>(columns - used, 32));
    const auto share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
    const auto full = static_cast<std::int64_t>(share * static_cast<double>(bar));
    std::string drawn(static_cast<std::size_t>(full), '=');
    if (full > 0 && full < bar) drawn.back() = '>';
    drawn.resize(static_cast<std::size_t>(bar), ' ');
    line += fmt::format(" [{}]", drawn);
  }
  append(line, tail);
  return clip_to_width(line, columns);
}

Progress::Progress(std::string stage, std::int64_t total, bool active)
    : stage_(std::move(stage)), total_(total), active_(active), terminal_(terminal_width() > 0) {}

Progress::~Progress() {
  if (!open_line_) return;
  std::fputc('\n', stderr);
  set_live_line(false);
}

void Progress::update(std::int64_t done, const std::string& detail, const BesideSteps& beside) {
  if (!active_ || finished_) return;
  const auto now = Clock::now();
  const bool first = first_done_ < 0;
  if (first) {
    first_done_ = done;
    started_ = now;
  } else {
    meter_.add(static_cast<double>(done - last_done_), seconds_between(last_update_, now));
  }
  last_done_ = done;
  last_update_ = now;
  detail_ = detail;
  if (!first && seconds_between(last_print_, now) < (terminal_ ? kTerminalInterval : kPlainInterval)) return;
  last_print_ = now;
  print(done, detail, beside);
}

void Progress::no_step() { last_update_ = Clock::now(); }

void Progress::print(std::int64_t done, const std::string& detail, const BesideSteps& beside) {
  if (terminal_) {
    // The last column stays free: some terminals wrap as soon as it is written.
    const auto line = progress_line(stage_, done, total_, detail, meter_.rate(), terminal_width() - 1, beside);
    std::fputs(fmt::format("\r\x1b[K{}", line).c_str(), stderr);
    std::fflush(stderr);
    open_line_ = true;
    set_live_line(true);
    return;
  }
  std::string line = stage_;
  append(line, counter(done, total_));
  if (total_ > 0) append(line, fmt::format("({:.0f} %)", 100 * static_cast<double>(done) / static_cast<double>(total_)));
  append(line, detail);
  append(line, time_left(done, total_, meter_.rate(), beside));
  log_info("{}", line);
}

void Progress::finish() {
  if (!active_ || finished_) return;
  finished_ = true;
  if (first_done_ < 0) return;
  if (open_line_) {
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
    open_line_ = false;
    set_live_line(false);
  }
  std::string line = stage_;
  append(line, counter(last_done_, total_));
  append(line, detail_);
  append(line, "in " + format_duration(seconds_between(started_, Clock::now())));
  log_info("{}", line);
}

}  // namespace thinkrec
