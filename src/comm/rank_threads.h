#pragma once
// How many threads a rank computes with.

#include <cstdint>

#include "comm/collectives.h"

namespace thinkrec {

/// CPUs that this process may run on, by its affinity mask; at least 1.
int allowed_cpus();

/// Collective. The ranks of a node, with this one, that may run on some CPU of this one's: alone where the launcher binds each to
/// CPUs of its own.
int ranks_on_own_cpus(Collectives& node);

/// Threads of a rank: `wanted` (run.threads) where it is not 0, else what OMP_NUM_THREADS says (launch/run.sh sets it), else
/// allowed_cpus() shared among `sharing` ranks. At least 1.
int rank_threads(std::int64_t wanted, int sharing);

}  // namespace thinkrec
