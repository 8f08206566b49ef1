// In place of kernels/cuda/host.cu: every launch is waited for, since the tests read its results at once.

#include <cuda_runtime.h>

#include "kernels/cuda/host.h"

namespace thinkrec::kernels::cuda {

void check_launch(const char* kernel) {
  cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  if (error != cudaSuccess) launch_failed(kernel, cudaGetErrorString(error));
}

void allow_shared(const void* kernel, int bytes) {
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) launch_failed("with much shared memory", cudaGetErrorString(error));
}

}  // namespace thinkrec::kernels::cuda
