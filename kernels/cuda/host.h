#pragma once
// What the host side of the .cu files needs, in words that nvcc reads fast.

namespace thinkrec::kernels::cuda {

/// A broken precondition is an Error(kInternal) saying what.
void require(bool holds, const char* what);

/// After a launch: Error(kInternal) naming the kernel when CUDA refused it.
void check_launch(const char* kernel);
[[noreturn]] void launch_failed(const char* kernel, const char* why);

/// Lets `kernel` use that many bytes of dynamic shared memory (48 KiB need no leave).
void allow_shared(const void* kernel, int bytes);

}  // namespace thinkrec::kernels::cuda
