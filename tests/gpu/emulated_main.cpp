// main of tests whose ops are to run on the emulated GPU kernels.

#include <gtest/gtest.h>

#include "gpu/gpu.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  thinkrec::set_op_kernels(c10::DeviceType::CPU, &thinkrec::cuda_op_kernels());
  return RUN_ALL_TESTS();
}
