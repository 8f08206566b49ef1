#include "gpu/gpu.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdlib>

#include "core/error.h"

namespace thinkrec {

int gpu_count(std::string& why) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  why = driver == 0 ? "no NVIDIA driver" : error == cudaSuccess ? "none is visible" : cudaGetErrorString(error);
  return 0;
}

void open_gpu(int index, bool deterministic) {
  // cuBLAS gives the same bits every time only with a workspace of a fixed size, which it reads from here.
  if (deterministic) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    fail(ExitCode::kUsage, "libtorch's CUDA part cannot be loaded ({}); install the library it names, or use run.device cpu",
         dlerror());
  }
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  guard.setDevice(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index)));
  // Warn only, but where attention's gradients are made (src/model/attention.cpp).
  at::globalContext().setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  set_op_kernels(c10::DeviceType::CUDA, &cuda_op_kernels());
}

}  // namespace thinkrec
