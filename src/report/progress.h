#pragma once
// Progress on standard error: a live line on a terminal, else a log line at most every 10 seconds.

#include <chrono>
#include <cstdint>
#include <string>

namespace thinkrec {

/// Steps per second over about the last `memory` seconds: a mean whose weights fall off exponentially, without start-up bias.
class RateMeter {
 public:
  explicit RateMeter(double memory = 30) : memory_(memory) {}
  void add(double steps, double seconds);
  double rate() const { return seconds_ > 0 ? steps_ / seconds_ : 0; }  ///< 0: not known yet

 private:
  double memory_;
  double steps_ = 0;
  double seconds_ = 0;
};

/// What is to be done beside the steps that are left, as validations: in steps, where it was not timed yet, and in seconds.
struct BesideSteps {
  double steps = 0, seconds = 0;
};

class Progress {
 public:
  /// `total` 0: unknown, so neither bar nor time left. active false (ranks other than 0): prints nothing.
  Progress(std::string stage, std::int64_t total, bool active);
  ~Progress();  ///< leaves the terminal on a fresh line, also when an exception passes
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total`; `detail` is shown as it is ("loss 0.412, 380 rows/s"). The first call sets the start of the rate, so a
  /// resumed stage that begins at step 900 does not count those 900 as its own speed.
  void update(std::int64_t done, const std::string& detail, const BesideSteps& beside = {});

  /// What was done since the last update was no step: its time is not theirs.
  void no_step();

  double rate() const { return meter_.rate(); }  ///< steps a second; 0: not known yet

  /// The last line: steps, time taken. Further calls do nothing.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void print(std::int64_t done, const std::string& detail, const BesideSteps& beside);

  std::string stage_;
  std::int64_t total_;
  bool active_;
  bool terminal_ = false;
  bool finished_ = false;
  bool open_line_ = false;
  std::int64_t first_done_ = -1;
  std::int64_t last_done_ = 0;
  RateMeter meter_;
  std::string detail_;
  Clock::time_point started_;
  Clock::time_point last_update_;
  Clock::time_point last_print_;
};

/// "0.4 s", "12 s", "3 min 05 s", "2 h 07 min", "3 d 04 h"; "-" for negative, NaN or infinite seconds.
std::string format_duration(double seconds);

/// The live line itself: "activate [=====>    ]  60/100  detail  ETA 12 s", no wider than `width` columns.
std::string progress_line(const std::string& stage, std::int64_t done, std::int64_t total, const std::string& detail, double rate,
                          int width, const BesideSteps& beside = {});

}  // namespace thinkrec
