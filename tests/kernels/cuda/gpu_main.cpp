// main of the kernels' tests on a GPU: from here on `new` gives managed memory, which the host and the GPU both read.

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

bool managed = false;
constexpr std::size_t kHeader = 256;  // says whose the block is, and keeps what follows aligned

}  // namespace

void* operator new(std::size_t size) {
  void* block = nullptr;
  const bool shared = managed && cudaMallocManaged(&block, size + kHeader, cudaMemAttachGlobal) == cudaSuccess;
  if (!shared) block = std::malloc(size + kHeader);
  if (block == nullptr) throw std::bad_alloc();
  *static_cast<bool*>(block) = shared;
  return static_cast<char*>(block) + kHeader;
}

void operator delete(void* pointer) noexcept {
  if (pointer == nullptr) return;
  void* block = static_cast<char*>(pointer) - kHeader;
  if (*static_cast<bool*>(block)) {
    cudaFree(block);
  } else {
    std::free(block);
  }
}
void operator delete(void* pointer, std::size_t) noexcept { operator delete(pointer); }

int main(int argc, char** argv) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("skipped: no GPU (%s)\n", cudaGetErrorString(error));
    return 77;
  }
  ::testing::InitGoogleTest(&argc, argv);
  managed = true;
  const int result = RUN_ALL_TESTS();
  managed = false;
  return result;
}
