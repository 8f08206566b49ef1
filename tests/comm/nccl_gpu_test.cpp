// The bodies over the real NCCL: several ranks may share a GPU, so each takes the name of a host of its own. Skipped (77) without a GPU.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "comm/collectives_fixture.h"
#include "comm/mpi_collectives.h"
#include "comm/nccl_library.h"
#include "core/error.h"
#include "support/mpi_world.h"

namespace thinkrec {

INSTANTIATE_TEST_SUITE_P(Nccl, CollectivesTest, ::testing::Values(Kind::kNccl));
INSTANTIATE_TEST_SUITE_P(Nccl, DeviceCollectivesTest, ::testing::Values(Kind::kNccl));

namespace {

/// Why there is nothing to test here; empty where there is.
std::string reason_to_skip() {
  const auto options = options_of(Kind::kNccl);
  try {
    const auto library = load_nccl_library(options.nccl_libraries, options.cuda_libraries);
    int devices = 0;
    const int result = library->cuda_get_device_count(&devices);
    if (result != kCudaSuccess) return std::string("no GPU: ") + library->cuda_get_error_string(result);
    return devices == 0 ? "no GPU" : "";
  } catch (const Error& error) {
    return error.what();
  }
}

class Gpu : public ::testing::Environment {
  void SetUp() override {
    setenv("NCCL_HOSTID", fmt::format("thinkrec-test-{}", test_world().rank()).c_str(), 1);
    const std::string reason = reason_to_skip();
    std::int64_t skip = reason.empty() ? 0 : 1;
    test_world().all_reduce_max(std::span(&skip, 1));
    if (skip == 0) return;
    if (test_world().rank() == 0) std::printf("skipped: %s\n", reason.empty() ? "no GPU for another rank" : reason.c_str());
    std::fflush(nullptr);
    int up = 0;
    MPI_Initialized(&up);
    if (up != 0) MPI_Finalize();
    _exit(77);
  }
};
[[maybe_unused]] const auto* const kGpu = ::testing::AddGlobalTestEnvironment(new Gpu);

TEST(Nccl, TwoRanksOfOneGpuAreRefusedWithItsOwnText) {
  if (test_world().size() == 1) GTEST_SKIP() << "one rank";
  setenv("NCCL_HOSTID", "thinkrec-test", 1);
  try {
    make_nccl_collectives(whole_world(), 0, options_of(Kind::kNccl));
    ADD_FAILURE() << "NCCL took two ranks on one GPU";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage) << error.what();
    EXPECT_NE(std::string(error.what()).find("Duplicate GPU"), std::string::npos) << error.what();
  }
  setenv("NCCL_HOSTID", fmt::format("thinkrec-test-{}", test_world().rank()).c_str(), 1);
  test_world().barrier();
}

}  // namespace
}  // namespace thinkrec
