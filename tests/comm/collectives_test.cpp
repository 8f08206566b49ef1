// The bodies over the implementations that need no GPU, and what is special to each.

#include "comm/collectives.h"

#include <gtest/gtest.h>

#include <dlfcn.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "comm/collectives_fixture.h"
#include "comm/mpi_collectives.h"
#include "comm/nccl_library.h"
#include "core/error.h"
#include "support/mpi_world.h"

namespace thinkrec {

INSTANTIATE_TEST_SUITE_P(Solo, CollectivesTest, ::testing::Values(Kind::kSolo));
INSTANTIATE_TEST_SUITE_P(Mpi, CollectivesTest, ::testing::Values(Kind::kMpi));
INSTANTIATE_TEST_SUITE_P(MpiInParts, CollectivesTest, ::testing::Values(Kind::kMpiInParts));
INSTANTIATE_TEST_SUITE_P(NcclDouble, CollectivesTest, ::testing::Values(Kind::kNcclDouble));
INSTANTIATE_TEST_SUITE_P(NcclDoubleAlone, CollectivesTest, ::testing::Values(Kind::kNcclDoubleAlone));
INSTANTIATE_TEST_SUITE_P(Solo, DeviceCollectivesTest, ::testing::Values(Kind::kSolo));
INSTANTIATE_TEST_SUITE_P(NcclDouble, DeviceCollectivesTest, ::testing::Values(Kind::kNcclDouble));
INSTANTIATE_TEST_SUITE_P(NcclDoubleAlone, DeviceCollectivesTest, ::testing::Values(Kind::kNcclDoubleAlone));

namespace {

/// What `call` throws, on each rank.
template <class Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return {ExitCode::kOk, "nothing was thrown"};
}

bool has(const Error& error, const std::string& part) { return std::string(error.what()).find(part) != std::string::npos; }

/// Sets an environment variable for the double; the former state comes back at the end.
class Setting {
 public:
  Setting(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
};

TEST(MpiCollectives, AnErrorOfMpiBecomesAPeerLost) {
  int up = 0;
  MPI_Initialized(&up);
  if (up == 0) GTEST_SKIP() << "not started by mpirun";
  try {
    make_mpi_collectives(MPI_COMM_NULL);
    FAIL() << "a null communicator was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kPeerLost);
    EXPECT_NE(std::string(error.what()).find("MPI_Comm_dup: MPI_ERR_COMM"), std::string::npos) << error.what();
  }
  EXPECT_THROW(make_mpi_collectives(MPI_COMM_WORLD, 0), Error);
  EXPECT_THROW(make_mpi_collectives(MPI_COMM_WORLD, kMostMessageElements + 1), Error);
}

TEST(MpiCollectives, RefusesGpuMemory) {
  const auto group = whole_world();
  float value = 1.0F;
  for (const auto& error :
       {error_of([&] { group->all_reduce_sum_device(&value, 1); }), error_of([&] { group->broadcast_device(&value, 4, 0); }),
        error_of([&] { group->all_gather_device(&value, 4); })}) {
    if (test_world().size() == 1 && error.code() == ExitCode::kOk) continue;  // without mpirun the world is solo
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_TRUE(has(error, "GPU memory needs a group of make_nccl_collectives")) << error.what();
  }
}

/// Making a group over the double goes wrong on all ranks alike.
Error error_of_making(const NcclOptions& options, int device) {
  return error_of([&] { make_nccl_collectives(whole_world(), device, options); });
}

TEST(NcclCollectives, NamesTheLibraryThatIsMissing) {
  auto options = options_of(Kind::kNcclDouble);
  options.nccl_libraries = {"libnccl_not_here.so.2", "libnccl_nor_this.so"};
  auto error = error_of_making(options, test_world().rank());
  EXPECT_EQ(error.code(), ExitCode::kUsage);
  EXPECT_TRUE(has(error, "NCCL is not here, looked for libnccl_not_here.so.2, libnccl_nor_this.so")) << error.what();
  EXPECT_TRUE(has(error, "LD_LIBRARY_PATH")) << error.what();
  options = options_of(Kind::kNcclDouble);
  options.cuda_libraries = {"libcudart_not_here.so"};
  error = error_of_making(options, test_world().rank());
  EXPECT_EQ(error.code(), ExitCode::kUsage);
  EXPECT_TRUE(has(error, "the CUDA runtime is not here, looked for libcudart_not_here.so")) << error.what();
}

TEST(NcclCollectives, RefusesAnotherLibrary) {
  auto options = options_of(Kind::kNcclDouble);
  options.nccl_libraries = {"libm.so.6"};
  const auto error = error_of_making(options, test_world().rank());
  EXPECT_EQ(error.code(), ExitCode::kUsage);
  EXPECT_TRUE(has(error, "libm.so.6 has no ncclGetVersion")) << error.what();
}

TEST(NcclCollectives, RefusesAnOldVersion) {
  const Setting version("NCCL_DOUBLE_VERSION", "21399");
  const auto error = error_of_making(options_of(Kind::kNcclDouble), test_world().rank());
  EXPECT_EQ(error.code(), ExitCode::kUsage);
  EXPECT_TRUE(has(error, "is NCCL version 21399; 21400 (2.14.0) or newer is needed")) << error.what();
}

TEST(NcclCollectives, RefusesAGpuThatIsNotThere) {
  const auto options = options_of(Kind::kNcclDouble);
  for (const int device : {-1, 8}) {
    const auto error = error_of_making(options, device);
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_TRUE(has(error, fmt::format("rank 0 of {}: GPU {} is not among the 8", test_world().size(), device))) << error.what();
  }
  const Setting none("NCCL_DOUBLE_DEVICES", "0");
  const auto error = error_of_making(options, 0);
  EXPECT_EQ(error.code(), ExitCode::kUsage);
  EXPECT_TRUE(has(error, "no GPU can be used: no CUDA-capable device is detected")) << error.what();
}

TEST(NcclCollectives, LeavesSignalsToTheTrainer) {
  const Setting dump("NCCL_PROXY_DUMP_SIGNAL", "10");
  error_of_making(options_of(Kind::kNcclDouble), test_world().rank());
  EXPECT_EQ(std::getenv("NCCL_PROXY_DUMP_SIGNAL"), nullptr);
}

TEST(NcclCollectives, AllRanksSayWhatOneMet) {
  const int last = test_world().size() - 1;
  const auto error = error_of_making(options_of(Kind::kNcclDouble), test_world().rank() == last ? 99 : test_world().rank());
  EXPECT_EQ(error.code(), ExitCode::kUsage);
  EXPECT_TRUE(has(error, fmt::format("rank {} of {}: GPU 99 is not among", last, last + 1))) << error.what();
}

TEST(NcclCollectives, TwoRanksOfOneGpuAreRefusedUnlessToldApart) {
  const auto options = options_of(Kind::kNcclDouble);
  if (test_world().size() > 1) {
    const auto error = error_of_making(options, 0);
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_TRUE(has(error, "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 0")) << error.what();
    EXPECT_TRUE(has(error, "NCCL_HOSTID")) << error.what();
    test_world().barrier();
  }
  const Setting host("NCCL_HOSTID", fmt::format("host{}", test_world().rank()));
  const auto group = make_nccl_collectives(whole_world(), 0, options);
  EXPECT_EQ(group->size(), test_world().size());
}

/// What the double counts: ncclDoubleCommunicators, ncclDoubleAborts.
int count_of(const char* symbol) {
  void* library = dlopen(options_of(Kind::kNcclDouble).nccl_libraries.front().c_str(), RTLD_NOW);
  return reinterpret_cast<int (*)()>(dlsym(library, symbol))();
}

TEST(NcclCollectives, EndsInGoodOrderOrAloneWhileAnExceptionPasses) {
  const int alive = count_of("ncclDoubleCommunicators"), aborts = count_of("ncclDoubleAborts");
  {
    const auto group = make_nccl_collectives(whole_world(), test_world().rank(), options_of(Kind::kNcclDouble));
    const auto part = group->split(0);
    EXPECT_EQ(count_of("ncclDoubleCommunicators"), alive + 2);
  }
  EXPECT_EQ(count_of("ncclDoubleCommunicators"), alive);
  EXPECT_EQ(count_of("ncclDoubleAborts"), aborts);
  const auto error = error_of([] {
    const auto group = make_nccl_collectives(whole_world(), test_world().rank(), options_of(Kind::kNcclDouble));
    fail(ExitCode::kStopped, "enough");
  });
  EXPECT_EQ(error.code(), ExitCode::kStopped);
  EXPECT_EQ(count_of("ncclDoubleCommunicators"), alive);
  EXPECT_EQ(count_of("ncclDoubleAborts"), aborts + 1);
  test_world().barrier();
}

TEST(NcclCollectives, DoesNotWaitForEverForTheOthersToEnd) {
  if (test_world().size() == 1) GTEST_SKIP() << "one rank";
  auto options = options_of(Kind::kNcclDouble);
  options.timeout_s = 0.5;
  const int alive = count_of("ncclDoubleCommunicators"), aborts = count_of("ncclDoubleAborts");
  auto group = make_nccl_collectives(test_world().split(0), test_world().rank(), options);
  test_world().barrier();
  if (test_world().rank() != 0) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(
        {
          float value = 0.0F;
          group->all_reduce_sum_device(&value, 1);  // rank 0 does not come
        },
        Error);
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  test_world().barrier();
  group.reset();  // of rank 0: nobody else is there to finalise
  EXPECT_EQ(count_of("ncclDoubleCommunicators"), alive);
  EXPECT_EQ(count_of("ncclDoubleAborts"), aborts + 1);
  test_world().barrier();
}

TEST(NcclCollectives, AGroupIsGoodForNothingAfterAnError) {
  if (test_world().size() == 1) GTEST_SKIP() << "one rank";
  const int alive = count_of("ncclDoubleCommunicators");
  const auto group = make_nccl_collectives(whole_world(), test_world().rank(), options_of(Kind::kNcclDouble));
  float values[2] = {1.0F, 1.0F};
  const std::size_t count = test_world().rank() == 0 ? 1 : 2;  // out of step, which the double notices
  auto error = error_of([&] { group->all_reduce_sum_device(values, count); });
  EXPECT_EQ(error.code(), ExitCode::kPeerLost);
  EXPECT_TRUE(has(error, "made another call than rank")) << error.what();
  EXPECT_EQ(count_of("ncclDoubleCommunicators"), alive);
  error = error_of([&] { group->broadcast_device(values, 4, 0); });
  EXPECT_EQ(error.code(), ExitCode::kPeerLost);
  EXPECT_TRUE(has(error, "the group 'world' was aborted after an earlier error")) << error.what();
  group->barrier();  // the host's group is another matter
}

TEST(NcclCollectives, RefusesANonsenseTimeOut) {
  auto options = options_of(Kind::kNcclDouble);
  options.timeout_s = 0.0;
  EXPECT_EQ(error_of_making(options, 0).code(), ExitCode::kInternal);
}

/// The library of a machine with CUDA, if this is one: symbols and version, with or without a GPU.
TEST(NcclLibrary, IsWhatWeTakeItFor) {
  const NcclOptions options;
  try {
    const auto library = load_nccl_library(options.nccl_libraries, options.cuda_libraries);
    EXPECT_NE(library->describe(kNcclInvalidUsage, nullptr), "");
    int devices = 0;
    if (library->cuda_get_device_count(&devices) == kCudaSuccess && devices > 0)
      GTEST_SKIP() << "nccl_gpu_test looks at what has a GPU";
    const auto error = error_of([&] { make_nccl_collectives(make_solo_collectives(), 0, options); });
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_TRUE(has(error, "no GPU can be used")) << error.what();
  } catch (const Error& error) {
    GTEST_SKIP() << "no NCCL here: " << error.what();
  }
}

}  // namespace
}  // namespace thinkrec
