#include "checkpoint/writer.h"

#include "core/error.h"
#include "core/log.h"

namespace thinkrec {

CheckpointWriter::~CheckpointWriter() {
  if (under_way_.valid()) under_way_.wait();
}

void CheckpointWriter::save(Checkpoint checkpoint) {
  settle(false);
  under_way_ = std::async(std::launch::async, [this, checkpoint = std::move(checkpoint)] { store_.save(checkpoint); });
}

void CheckpointWriter::finish() { settle(true); }

void CheckpointWriter::settle(bool last) {
  if (!under_way_.valid()) return;
  try {
    under_way_.get();
    failed_in_a_row_ = 0;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kIo || ++failed_in_a_row_ == 2 || last) throw;
    log_warning("{}; training goes on, and ends if the next checkpoint cannot be saved either", error.what());
  }
}

}  // namespace thinkrec
