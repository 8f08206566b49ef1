#pragma once
// Files of unknown origin are walked in a process of its own before a rank opens them: HDF5 crashes or hangs on some bad bytes
// (measured: broken heaps, a division by zero, an endless loop), and what it does there must not end a training.

#include <functional>
#include <string>

#include "core/error.h"
#include "data/walk.h"

namespace thinkrec {

struct GuardVerdict {
  ExitCode code = ExitCode::kOk;  ///< kOk, kNoInput, kBadData
  std::string line;               ///< "PATH: fine: ..." or what is wrong, without a line break
};

/// Walks the file in a forked process: memory of 1 GiB and `seconds` of time, both more for a file above 128 MiB, no core dump. That
/// it crashed, hung or ran out of memory is a verdict like any other (kBadData). Forks: for programs of one thread, which is what
/// thinkrec_check is. `walk` is what is done there; it gives what is in the file.
GuardVerdict walk_forked(const std::string& path, unsigned seconds = 10,
                         const std::function<std::string(const std::string&)>& walk = walk_file);

/// The verdict of the program thinkrec_check, which lies beside the running program, on the file. Safe to call in any process (it
/// is spawned, not forked). Error kNoInput when there is no such program.
GuardVerdict ask_guard(const std::string& path);

/// ask_guard, and Error with the verdict's code and line unless it is kOk. To be called before load_dataset wherever the file may
/// have come from anywhere.
void check_in_guard(const std::string& path);

}  // namespace thinkrec
