#include "core/error.h"
#include "kernels/cuda/host.h"

namespace thinkrec::kernels::cuda {

void require(bool holds, const char* what) {
  if (!holds) fail(ExitCode::kInternal, "{}", what);
}

void launch_failed(const char* kernel, const char* why) {
  fail(ExitCode::kInternal,
       "the CUDA kernel {} was not started: {}; was this program built for this GPU (THINKREC_CUDA_ARCHITECTURES)?", kernel, why);
}

}  // namespace thinkrec::kernels::cuda
