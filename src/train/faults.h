#pragma once
// Faults on purpose, for tests of what a run survives (thinkrec_train --inject). Off unless asked for.

#include <cstdint>
#include <string>
#include <vector>

namespace thinkrec {

/// What a step is to get wrong: a number that is not finite, and where; or a collective that the other ranks do not enter.
struct StepFault {
  enum class Place { kNone, kLoss, kGradient, kInput, kWeight, kCollective };
  Place place = Place::kNone;
  float value = 0;
};

/// "RANK:STEP:KIND": at the STEP-th optimizer step that this job makes (from 1, over all stages), rank RANK
///   kill           is killed (SIGKILL)
///   stop           is stopped (SIGSTOP)
///   loop           works for ever
///   error          throws, as any defect would
///   mismatch       enters a collective that the other ranks do not
///   kill-validation  is killed in the validation after that step, where there is one
///   usr2-validation  is asked to stop (SIGUSR2) in that validation; usr2-second-validation: in that of the second of experts that train at once
///   nan-loss, nan-gradient, nan-input, nan-weight, and inf-...   gets a number that is not finite: `input` is what its first trained layer
///                  reads, `weight` a trained weight, which holds it from then on.
class FaultInjector {
 public:
  /// kUsage naming the text that is no fault.
  FaultInjector(const std::vector<std::string>& faults, int rank);
  /// Called before each step; does not return from some faults.
  StepFault before_step();
  /// Called in each validation.
  void in_validation();

 private:
  struct Fault {
    std::int64_t step;
    std::string kind;
  };
  std::vector<Fault> faults_;  ///< of this rank
  std::int64_t steps_ = 0, validations_ = 0;  ///< validations since the last step
};

}  // namespace thinkrec
