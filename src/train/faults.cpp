#include "train/faults.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "core/options.h"

namespace thinkrec {

FaultInjector::FaultInjector(const std::vector<std::string>& faults, int rank) {
  static const std::vector<std::string> kKinds = {"kill",         "stop",         "loop",      "error",     "nan-loss",
                                                  "nan-gradient", "inf-gradient", "nan-input", "nan-weight"};
  for (const std::string& text : faults) {
    const std::size_t first = text.find(':'), second = first == std::string::npos ? first : text.find(':', first + 1);
    if (second == std::string::npos) fail(ExitCode::kUsage, "--inject {}: a fault is RANK:STEP:KIND", text);
    const auto who = parse_integer(text.substr(0, first)), step = parse_integer(text.substr(first + 1, second - first - 1));
    const std::string kind = text.substr(second + 1);
    if (!who || *who < 0 || !step || *step < 1) fail(ExitCode::kUsage, "--inject {}: ranks count from 0, steps from 1", text);
    if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end())
      fail(ExitCode::kUsage, "--inject {}: there is no fault '{}'{}", text, kind, suggestion(kind, kKinds));
    if (*who == rank) faults_.push_back({*step, kind});
  }
}

StepFault FaultInjector::before_step() {
  ++steps_;
  StepFault out = StepFault::kNone;
  for (const Fault& fault : faults_) {
    if (fault.step != steps_) continue;
    log_warning("--inject: {} at step {} of this job", fault.kind, steps_);
    if (fault.kind == "kill") ::raise(SIGKILL);
    if (fault.kind == "stop") ::raise(SIGSTOP);
    while (fault.kind == "loop") std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (fault.kind == "error") fail(ExitCode::kInternal, "--inject: an error at step {} of this job", steps_);
    if (fault.kind == "nan-loss") out = StepFault::kNanLoss;
    if (fault.kind == "nan-gradient") out = StepFault::kNanGradient;
    if (fault.kind == "inf-gradient") out = StepFault::kInfGradient;
    if (fault.kind == "nan-input") out = StepFault::kNanInput;
    if (fault.kind == "nan-weight") out = StepFault::kNanWeight;
  }
  return out;
}

}  // namespace thinkrec
