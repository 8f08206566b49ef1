#pragma once
// Saves while training goes on.

#include <future>

#include "checkpoint/checkpoint.h"

namespace thinkrec {

/// Hands checkpoints to a thread; at most one save is under way. A save that fails is a warning, for the older checkpoints are whole;
/// a second one in a row is an error, and so is any failure but that of the disk.
class CheckpointWriter {
 public:
  /// `store` must outlive the writer.
  explicit CheckpointWriter(const CheckpointStore& store) : store_(store) {}
  ~CheckpointWriter();  ///< waits for the save under way
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Waits for the save before, then begins this one. Errors of the save before, as above.
  void save(Checkpoint checkpoint);
  /// Waits until the last checkpoint is on disk; its error, also when it is the first.
  void finish();

 private:
  void settle(bool last);

  const CheckpointStore& store_;
  std::future<void> under_way_;
  int failed_in_a_row_ = 0;
};

}  // namespace thinkrec
