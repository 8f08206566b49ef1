#pragma once
// Requests to stop: SIGUSR1, SIGUSR2, SIGTERM, SIGINT ask for a checkpoint at the next step boundary; a second SIGINT quits at once.

#include <string>

#include "comm/collectives.h"

namespace thinkrec {

void install_stop_handlers();
/// True once a signal has arrived on this rank or, by a SharedStop, on another.
bool stop_requested();

/// Passes requests on between teams of ranks, which train apart and meet only in the end: the signal's handler writes to a file,
/// so that a rank that is done and waits for the other teams passes them on as well. One at a time.
class SharedStop {
 public:
  /// Collective. Rank 0 makes the file anew, whatever an earlier life has left there; Error kIo on all ranks. Where `looks`, as
  /// one rank of a team should, stop_requested() reads it, at most once a second.
  SharedStop(const std::string& path, Collectives& world, bool looks);
  /// Rank 0 removes the file, when all teams have ended.
  ~SharedStop();
  SharedStop(const SharedStop&) = delete;
  SharedStop& operator=(const SharedStop&) = delete;

 private:
  bool leader_;
};

}  // namespace thinkrec
