// The host side of the .cu files in the emulator: a launch that goes wrong throws simt::Fault by itself.

#include "kernels/cuda/host.h"

namespace thinkrec::kernels::cuda {

void check_launch(const char*) {}
void allow_shared(const void*, int) {}

}  // namespace thinkrec::kernels::cuda
