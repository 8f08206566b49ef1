#include "train/faults.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/options.h"

namespace thinkrec {
namespace {

struct InValidation {
  const char* kind;
  std::int64_t which;
  int signal;
};
constexpr InValidation kInValidation[] = {
    {"kill-validation", 1, SIGKILL}, {"usr2-validation", 1, SIGUSR2}, {"usr2-second-validation", 2, SIGUSR2}};
constexpr std::pair<const char*, StepFault::Place> kPlaces[] = {{"loss", StepFault::Place::kLoss},
                                                                {"gradient", StepFault::Place::kGradient},
                                                                {"input", StepFault::Place::kInput},
                                                                {"weight", StepFault::Place::kWeight}};

}  // namespace

FaultInjector::FaultInjector(const std::vector<std::string>& faults, int rank) {
  std::vector<std::string> kinds = {"kill", "stop", "loop", "error", "mismatch"};
  for (const InValidation& fault : kInValidation) kinds.push_back(fault.kind);
  for (const auto& [place, unused] : kPlaces)
    for (const char* value : {"nan-", "inf-"}) kinds.push_back(value + std::string(place));
  for (const std::string& text : faults) {
    const std::size_t first = text.find(':'), second = first == std::string::npos ? first : text.find(':', first + 1);
    if (second == std::string::npos) fail(ExitCode::kUsage, "--inject {}: a fault is RANK:STEP:KIND", text);
    const auto who = parse_integer(text.substr(0, first)), step = parse_integer(text.substr(first + 1, second - first - 1));
    const std::string kind = text.substr(second + 1);
    if (!who || *who < 0 || !step || *step < 1) fail(ExitCode::kUsage, "--inject {}: ranks count from 0, steps from 1", text);
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      fail(ExitCode::kUsage, "--inject {}: there is no fault '{}'{}", text, kind, suggestion(kind, kinds));
    if (*who == rank) faults_.push_back({*step, kind});
  }
}

StepFault FaultInjector::before_step() {
  ++steps_;
  validations_ = 0;
  StepFault out;
  for (const Fault& fault : faults_) {
    if (fault.step != steps_ || fault.kind.ends_with("-validation")) continue;
    log_warning("--inject: {} at step {} of this job", fault.kind, steps_);
    if (fault.kind == "kill") ::raise(SIGKILL);
    if (fault.kind == "stop") ::raise(SIGSTOP);
    while (fault.kind == "loop") std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (fault.kind == "error") fail(ExitCode::kInternal, "--inject: an error at step {} of this job", steps_);
    if (fault.kind == "mismatch") out = {StepFault::Place::kCollective, 0};
    for (const auto& [name, place] : kPlaces) {
      if (fault.kind == std::string("nan-") + name) out = {place, std::numeric_limits<float>::quiet_NaN()};
      if (fault.kind == std::string("inf-") + name) out = {place, std::numeric_limits<float>::infinity()};
    }
  }
  return out;
}

void FaultInjector::in_validation() {
  ++validations_;
  for (const Fault& fault : faults_) {
    for (const auto& [kind, which, signal] : kInValidation) {
      if (fault.step != steps_ || fault.kind != kind || validations_ != which) continue;
      log_warning("--inject: {} after step {} of this job", fault.kind, steps_);
      ::raise(signal);
    }
  }
}

}  // namespace thinkrec
