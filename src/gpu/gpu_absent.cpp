// In place of gpu.cpp and op_kernels_cuda.cpp in a build without CUDA.

#include "core/error.h"
#include "gpu/gpu.h"

namespace thinkrec {

int gpu_count(std::string& why) {
  why = "this program was built without CUDA";
  return 0;
}

void open_gpu(int, bool) {
  fail(ExitCode::kUsage, "this program was built without CUDA: put CUDA 13's nvcc on the PATH and build again");
}

const OpKernels& cuda_op_kernels() { fail(ExitCode::kInternal, "this program was built without CUDA"); }

}  // namespace thinkrec
