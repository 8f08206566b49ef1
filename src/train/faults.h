#pragma once
// Faults on purpose, for tests of what a run survives (thinkrec_train --inject). Off unless asked for.

#include <cstdint>
#include <string>
#include <vector>

namespace thinkrec {

/// What a step is to get wrong.
enum class StepFault { kNone, kNanLoss, kNanGradient, kInfGradient, kNanWeight, kNanInput };

/// "RANK:STEP:KIND": at the STEP-th optimizer step that this job makes (from 1, over all stages), rank RANK
///   kill           is killed (SIGKILL)
///   stop           is stopped (SIGSTOP)
///   loop           works for ever
///   error          throws, as any defect would
///   nan-loss, nan-gradient, inf-gradient, nan-input    gets a number that is not finite, the last one as what its first trained layer reads
///   nan-weight     holds one in a trained weight from then on.
class FaultInjector {
 public:
  /// kUsage naming the text that is no fault.
  FaultInjector(const std::vector<std::string>& faults, int rank);
  /// Called before each step; does not return from some faults.
  StepFault before_step();

 private:
  struct Fault {
    std::int64_t step;
    std::string kind;
  };
  std::vector<Fault> faults_;  ///< of this rank
  std::int64_t steps_ = 0;
};

}  // namespace thinkrec
