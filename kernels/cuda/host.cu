#include "kernels/cuda/host.h"

#include <cuda_runtime.h>

namespace thinkrec::kernels::cuda {

void check_launch(const char* kernel) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) launch_failed(kernel, cudaGetErrorString(error));
}

void allow_shared(const void* kernel, int bytes) {
  if (bytes <= 48 * 1024) return;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) launch_failed("with much shared memory", cudaGetErrorString(error));
}

}  // namespace thinkrec::kernels::cuda
