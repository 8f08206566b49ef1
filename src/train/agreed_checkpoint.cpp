#include "train/agreed_checkpoint.h"

#include "core/error.h"

namespace thinkrec {
namespace {

/// What `load` finds on rank 0, on every rank.
template <class Load>
std::optional<Checkpoint> agreed(const CheckpointStore& store, Collectives& ranks, Load load) {
  std::optional<Checkpoint> found;
  on_rank_zero(ranks, [&] { found = load(); });
  std::int64_t step = found ? found->step : -1;
  ranks.broadcast(std::as_writable_bytes(std::span(&step, 1)), 0);
  if (step < 0) return std::nullopt;
  std::string failure;
  if (ranks.rank() != 0) {
    try {
      found = store.load_step(step);
    } catch (const Error& error) {
      failure = error.what();
    }
  }
  std::int64_t failed = failure.empty() ? 0 : 1;
  ranks.all_reduce_max(std::span(&failed, 1));
  if (failed == 0) return found;
  if (failure.empty()) failure = fmt::format("{}: another rank cannot read step {}", store.folder(), step);
  fail(ExitCode::kIo, "{}; rank 0 can: all ranks must see the same run directory", failure);
}

}  // namespace

std::optional<Checkpoint> load_latest(const CheckpointStore& store, Collectives& ranks) {
  return agreed(store, ranks, [&] { return store.load_latest(); });
}

std::optional<Checkpoint> load_agreed(const CheckpointStore& store, std::int64_t step, Collectives& ranks) {
  return agreed(store, ranks, [&]() -> std::optional<Checkpoint> {
    if (step == 0) return std::nullopt;
    return store.load_step(step);
  });
}

}  // namespace thinkrec
