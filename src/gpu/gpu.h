#pragma once
// GPUs, for programs that also run without one: libtorch's CUDA part is loaded only when a GPU is used, so that nothing else pays for it.

#include <string>

#include "model/op_kernels.h"

namespace thinkrec {

/// The GPUs this process sees; 0 with the reason in `why`: built without CUDA, no driver, none visible.
int gpu_count(std::string& why);

/// Loads libtorch's CUDA part, makes GPU `index` this thread's, and the kernels of kernels/cuda those of CUDA tensors. `deterministic`
/// asks libtorch for the same bits every time. Must come before anything else asks libtorch for a GPU. kUsage naming the library that
/// cannot be loaded, and the remedy.
void open_gpu(int index, bool deterministic);

/// kernels/cuda over tensors. Work is queued on the default stream, which is also libtorch's current one here.
const OpKernels& cuda_op_kernels();

}  // namespace thinkrec
