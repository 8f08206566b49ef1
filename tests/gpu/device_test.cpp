// What a run says about GPUs that are not there. Where there is one, these are skipped: tests labelled gpu speak then.

#include <gtest/gtest.h>

#include "core/error.h"
#include "gpu/gpu.h"
#include "support/mpi_world.h"
#include "train/device.h"

namespace thinkrec {
namespace {

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    if (gpu_count(why) > 0) GTEST_SKIP() << "a GPU is here";
    EXPECT_FALSE(why.empty());
  }
};

TEST_F(DeviceTest, AutoIsTheCpuInFp32) {
  const at::TensorOptions options = choose_device({"auto", "auto", true}, test_world());
  EXPECT_TRUE(options.device().is_cpu());
  EXPECT_EQ(options.dtype(), at::kFloat);
}

TEST_F(DeviceTest, CudaWithoutGpuIsRefusedOnEveryRank) {
  try {
    choose_device({"cuda", "auto", true}, test_world());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    const std::string text = error.what();
    EXPECT_NE(text.find("there is no GPU for device cuda ("), std::string::npos) << text;
    EXPECT_NE(text.find("ask for device auto or cpu"), std::string::npos) << text;
    EXPECT_EQ(text.find("rank 0: ") != std::string::npos, test_world().size() > 1) << text;
  }
}

TEST_F(DeviceTest, Bf16IsForGpus) {
  for (const char* device : {"cpu", "auto"}) {
    try {
      choose_device({device, "bf16", true}, test_world());
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kConfig);
      EXPECT_NE(std::string(error.what()).find("run.dtype bf16 is for GPUs"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace thinkrec
