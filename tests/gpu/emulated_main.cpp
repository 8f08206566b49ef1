// main of tests whose ops are to run on the emulated GPU kernels.

#include <gtest/gtest.h>

#include <cstdio>

#include "gpu/gpu.h"
#include "simt/simt.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  thinkrec::set_op_kernels(c10::DeviceType::CPU, &thinkrec::cuda_op_kernels());
  const int code = RUN_ALL_TESTS();
  if (code == 0 && simt::statistics().launches == 0) {
    std::fprintf(stderr, "no emulated kernel was launched: these tests said nothing of them\n");
    return 1;
  }
  return code;
}
