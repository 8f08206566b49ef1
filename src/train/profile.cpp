#include "train/profile.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <filesystem>

#include "core/error.h"
#include "core/log.h"

namespace thinkrec {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

}  // namespace

StepProfiler::StepProfiler(const Session& session, const std::string& stage)
    : nvtx_(session.recipe().text("run.profile_to") == "nvtx"), gpu_(!session.device().is_cpu()) {
  first_ = session.recipe().integer("run.profile_from");
  last_ = first_ > 0 ? first_ + session.recipe().integer("run.profile_steps") - 1 : -1;
  if (first_ > 0 && nvtx_ && !gpu_)
    fail(ExitCode::kConfig, "run.profile_to is nvtx, which needs a GPU, and this run is on the CPU: set run.profile_to=trace");
  std::string name = stage;
  std::replace(name.begin(), name.end(), '/', '-');
  path_ = session.path(fmt::format("profile/{}-rank{}.json", name, session.world().rank()));
}

StepProfiler::~StepProfiler() {
  if (!begun_) return;
  try {
    profiler::disableProfiler();
  } catch (const std::exception& error) {
    log_warning("the profiler did not end: {}", error.what());
  }
}

void StepProfiler::before(std::int64_t step) {
  if (begun_ || written_ || step < first_ || step > last_) return;
  const ProfilerConfig config(nvtx_ ? ProfilerState::NVTX : ProfilerState::KINETO);
  std::set<ActivityType> activities = {ActivityType::CPU};
  if (gpu_) activities.insert(ActivityType::CUDA);
  if (!nvtx_) profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities,
                           {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE});
  begun_ = true;
}

void StepProfiler::after(std::int64_t step) {
  if (!begun_ || step < last_) return;
  begun_ = false;
  written_ = true;
  const auto result = profiler::disableProfiler();
  if (nvtx_) return;
  // Beside the point of the run: it goes on without.
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), failed);
  result->save(path_);
  std::error_code absent;
  if (failed || !std::filesystem::exists(path_, absent)) {
    log_warning("{}: the profile could not be written{}", path_, failed ? ": " + failed.message() : "");
  } else {
    log_info("profile: {}", path_);
  }
}

}  // namespace thinkrec
