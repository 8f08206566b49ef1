#pragma once
// Ends a job in which a rank no longer gets on: MPI itself notices neither a stopped process nor an endless loop, and the other ranks
// would wait for ever. Every rank writes a page that the others can read: signs of life, what it does, and the collective it is in.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/collectives.h"

namespace thinkrec {

struct WatchdogOptions {
  std::string folder;          ///< of the pages and, after an alarm, of the flight records; on a file system that all ranks see
  double step_limit_s = 60;    ///< in a step there may be so long no progress, or 10 medians of steps, whichever is more
  double quiet_limit_s = 600;  ///< the same outside steps, where work goes on for long without a word, and in the first steps
  bool keep_all = false;       ///< every collective to <folder>/collectives-<rank>.txt, as in a flight record
  /// Called before an alarm ends this process, on the watchdog's thread, with where this rank is and why it ends.
  std::function<void(const std::string& what, std::int64_t step, const std::string& reason)> on_alarm = {};
  double collective_limit_s = 0;  ///< for a collective that all ranks are in, where this is more than the limits above
};

/// A thread beside the rank. Progress is a collective begun or ended, a step, or note_progress(). An alarm needs a rank that waits beyond
/// its limit and a rank that is to blame: one whose process is stopped or gone, or that works beyond its own limit; or all ranks wait,
/// each in a collective that not all are in, or all in the same beyond its limit. Then the rank writes its flight record (the last
/// 1,000 collectives) to <folder>/flight-<rank>.txt, says on standard error who is to blame, at which step and collective, and ends
/// the process with code 71; the launcher ends the others. Time in which the whole job was stopped does not count.
class Watchdog {
 public:
  /// Collective. kIo when the folder cannot be written.
  Watchdog(const WatchdogOptions& options, Collectives& world);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// What comes next, for messages; the quiet limit holds.
  void quiet(const std::string& what);
  /// A step begins.
  void step(const std::string& what, std::int64_t number);
  /// What is done now may take up to the quiet limit, in a step too: a save to a slow disk. Until the next step or quiet().
  void slow();
  void note_progress();

  /// The same group, watched; groups split from it are watched as well. The watchdog outlives them.
  std::unique_ptr<Collectives> watch(Collectives& group);
  std::unique_ptr<Collectives> watch(std::unique_ptr<Collectives> group, const std::string& name);

 private:
  struct State;
  friend class WatchedCollectives;
  std::unique_ptr<State> state_;
};

}  // namespace thinkrec
