#pragma once
// A window of a phase's steps under libtorch's profiler: run.profile_from, run.profile_steps, run.profile_to.

#include <cstdint>
#include <string>

#include "train/session.h"

namespace thinkrec {

/// Every rank has its own. Ranges are the parts of a step (step.cpp), the operations of model/op_kernels.h and libtorch's; on a GPU also its
/// kernels.
class StepProfiler {
 public:
  /// `stage` is the phase's. trace: <run>/profile/<stage, "-" for "/">-rank<r>.json, which chrome://tracing and ui.perfetto.dev read. nvtx:
  /// ranges for Nsight Systems. Error kConfig for nvtx on the CPU.
  StepProfiler(const Session& session, const std::string& stage);
  ~StepProfiler();  ///< ends a window that is open; what it holds is dropped
  StepProfiler(const StepProfiler&) = delete;
  StepProfiler& operator=(const StepProfiler&) = delete;

  void before(std::int64_t step);  ///< 1-based; the window opens at its first step, or at the first after a resume inside it
  void after(std::int64_t step);   ///< after the window's last step the trace is written; a trace that cannot be is a warning

 private:
  bool begun_ = false, written_ = false, nvtx_ = false, gpu_ = false;
  std::int64_t first_, last_;  // last_ < first_: no window
  std::string path_;
};

}  // namespace thinkrec
