#pragma once
// The checkpoint that a group of ranks goes on from.

#include <optional>

#include "checkpoint/checkpoint.h"
#include "comm/collectives.h"

namespace thinkrec {

/// CheckpointStore::load_latest on rank 0, whose choice the others read as well: ranks that fell back on their own, each for what it could
/// read, would go on from different steps. Collective. Errors of rank 0 are thrown on every rank; kIo on every rank when one of the others
/// cannot read what rank 0 reads.
std::optional<Checkpoint> load_latest(const CheckpointStore& store, Collectives& ranks);

/// The same with the checkpoint of `step`; 0: none.
std::optional<Checkpoint> load_agreed(const CheckpointStore& store, std::int64_t step, Collectives& ranks);

}  // namespace thinkrec
