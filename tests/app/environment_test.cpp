#include "app/environment.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

/// A limit of the process while it lives.
class Limit {
 public:
  Limit(__rlimit_resource what, rlim_t value) : what_(what) {
    getrlimit(what_, &before_);
    const rlimit now{value, before_.rlim_max};
    setrlimit(what_, &now);
  }
  ~Limit() { setrlimit(what_, &before_); }

 private:
  __rlimit_resource what_;
  rlimit before_{};
};

class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

std::string error_of(const std::function<OrderedJson()>& body, double timeout_s = 60) {
  const OrderedJson result = in_child(timeout_s, body);
  EXPECT_FALSE(result.contains("value"));
  return result.value("error", "no error");
}

TEST(InChild, GivesTheValue) {
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(in_child(60, [&] { return OrderedJson(large); }), OrderedJson({{"value", large}}));
  EXPECT_EQ(in_child(60, [] { return OrderedJson({{"a", 1}}); })["value"]["a"], 1);
  EXPECT_EQ(in_child(60, [] { return OrderedJson(); }), OrderedJson({{"value", nullptr}}));
}

TEST(InChild, TellsWhatWentWrong) {
  EXPECT_EQ(error_of([]() -> OrderedJson { fail(ExitCode::kUsage, "not here"); }), "not here");
  EXPECT_EQ(error_of([]() -> OrderedJson {
              std::puts("first\n----\n the reason \n----\n");
              std::fflush(stdout);
              std::_Exit(3);
            }),
            "ended with code 3: the reason");
  EXPECT_EQ(error_of([]() -> OrderedJson {
              std::raise(SIGKILL);
              return {};
            }),
            "ended by signal 9");
}

TEST(InChild, EndsWhatHangs) {
  const auto start = std::chrono::steady_clock::now();
  const auto error = error_of(
      []() -> OrderedJson {
        std::fputs("waiting for a server\n", stderr);
        if (fork() == 0) pause();  // would keep the pipe open
        pause();
        return {};
      },
      0.3);
  EXPECT_EQ(error, "not done after 0.3 s: waiting for a server");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(InChild, DoesNotWaitForWhatTheChildStarted) {
  const OrderedJson result = in_child(60, [] {
    if (fork() == 0) {
      sleep(5);
      std::_Exit(0);
    }
    return OrderedJson(1);
  });
  EXPECT_EQ(result["value"], 1);
}

TEST(InChild, SaysWhatTheSystemRefuses) {
  const int next = dup(0);  // the lowest free descriptor
  close(next);
  {
    const Limit limit(RLIMIT_NOFILE, static_cast<rlim_t>(next));
    EXPECT_EQ(error_of([] { return OrderedJson(1); }), "no temporary file: Too many open files");
  }
  const Limit limit(RLIMIT_NOFILE, static_cast<rlim_t>(next) + 1);
  EXPECT_EQ(error_of([] { return OrderedJson(1); }), "no pipe: Too many open files");
}

TEST(InChild, SaysThatThereIsNoProcess) {
  if (geteuid() == 0) GTEST_SKIP() << "the number of root's processes has no limit";
  const Limit limit(RLIMIT_NPROC, 1);
  EXPECT_EQ(error_of([] { return OrderedJson(1); }), "no process: Resource temporarily unavailable");
}

class Environment : public testing::Test {
 protected:
  Environment() : root_(fs::temp_directory_path() / fmt::format("thinkrec_env_{}", getpid())) {}
  ~Environment() override { fs::remove_all(root_); }

  void plant(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  /// Nothing of this machine, nothing of a GPU.
  EnvironmentPlaces nowhere() const {
    EnvironmentPlaces places;
    places.root = root_.string();
    places.cuda_driver = places.cuda_runtime = places.nccl = {"libnowhere.so.1"};
    return places;
  }

  fs::path root_;
};

TEST_F(Environment, CgroupsOfVersion2TakeTheLowestLimit) {
  plant("proc/self/cgroup", "0::/job/step\n");
  plant("sys/fs/cgroup/job/step/memory.max", "max\n");
  plant("sys/fs/cgroup/job/step/memory.current", "1000\n");
  plant("sys/fs/cgroup/job/step/cpu.max", "300000 100000\n");
  plant("sys/fs/cgroup/job/memory.max", "5000\n");
  plant("sys/fs/cgroup/job/memory.current", "2000\n");
  plant("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
  plant("sys/fs/cgroup/memory.max", "9000\n");
  const OrderedJson wanted = {{"memory_limit_bytes", 5000}, {"memory_used_bytes", 1000}, {"cpu_limit", 1.5}};
  EXPECT_EQ(read_cgroup(root_.string()), wanted);
}

TEST_F(Environment, CgroupsOfVersion1AndContainers) {
  plant("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n3:pids:/docker/abc\nnonsense\n0::/\n");
  plant("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n");
  plant("sys/fs/cgroup/memory/memory.usage_in_bytes", "77\n");
  plant("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  plant("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const OrderedJson wanted = {{"memory_limit_bytes", 4096}, {"memory_used_bytes", 77}, {"cpu_limit", 0.5}};
  EXPECT_EQ(read_cgroup(root_.string()), wanted);
}

TEST_F(Environment, CgroupsWithoutLimits) {
  const OrderedJson none = {{"memory_limit_bytes", nullptr}, {"memory_used_bytes", nullptr}, {"cpu_limit", nullptr}};
  EXPECT_EQ(read_cgroup(root_.string()), none) << "no file at all";
  plant("proc/self/cgroup", "0::/\n5:memory:/\n4:cpu:/\n");
  plant("sys/fs/cgroup/memory.max", "max\n");
  plant("sys/fs/cgroup/cpu.max", "max 100000\n");
  plant("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  plant("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  plant("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read_cgroup(root_.string()), none);
}

TEST_F(Environment, OfThisMachine) {
  const Variable omp("OMP_PROC_BIND", "close"), secret("THINKREC_SECRET_TOKEN", "hush");
  const OrderedJson all = read_environment();
  EXPECT_TRUE(failed_parts(all).empty()) << all.dump(1);
  for (const char* part : {"matmul", "mpi", "hdf5"}) EXPECT_EQ(all["self_test"][part]["ok"], true) << all["self_test"].dump(1);
  EXPECT_EQ(all["self_test"]["nccl"]["needed"], false);
  for (const char* name : {"thinkrec", "build", "compiler", "mpi", "hdf5", "glibc", "kernel"})
    EXPECT_FALSE(all["versions"][name].get<std::string>().empty()) << name;
  EXPECT_EQ(all["versions"]["kernel"].get<std::string>().find("Linux "), 0U);
  EXPECT_GT(all["machine"]["memory_bytes"].get<std::int64_t>(), 1 << 20);
  EXPECT_GE(all["machine"]["cores_allowed"].get<int>(), 1);
  EXPECT_GT(all["folder"]["free_bytes"].get<std::int64_t>(), 0);
  EXPECT_EQ(all["settings"]["OMP_PROC_BIND"], "close");
  EXPECT_EQ(all.dump().find("hush"), std::string::npos);
  EXPECT_EQ(all["gpus"].empty(), all.contains("gpus_why"));
  const std::string text = environment_text(all);
  for (const char* part : {"versions\n  thinkrec ", "\nself test\n  matmul                   ok      256 x 256 on ",
                           "\n  OMP_PROC_BIND            close\n", " GiB\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n is missing from\n" << text;
  }
}

TEST_F(Environment, WhatIsNotThereIsNoError) {
  const OrderedJson all = read_environment(nowhere());
  EXPECT_TRUE(failed_parts(all).empty());
  EXPECT_TRUE(all["machine"]["memory_bytes"].is_null());
  EXPECT_TRUE(all["machine"]["cpu"].is_null());
  EXPECT_TRUE(all["versions"]["cuda_driver"].is_null());
  EXPECT_TRUE(all["versions"]["cuda_runtime"].is_null());
  EXPECT_TRUE(all["gpus"].empty());
  EXPECT_EQ(all["gpus_why"].get<std::string>().find("no driver: libnowhere.so.1: "), 0U) << all["gpus_why"];
  EXPECT_EQ(all["self_test"]["nccl"]["ok"], false);
  EXPECT_NE(all["self_test"]["nccl"]["detail"].get<std::string>().find("libnowhere.so.1"), std::string::npos);
  const std::string text = environment_text(all);
  EXPECT_NE(text.find("\ngpus\n  none                     no driver: "), std::string::npos) << text;
  EXPECT_NE(text.find("\n  cgroup memory limit      none\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  memory                   -\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  nccl                     no      "), std::string::npos) << text;
}

TEST_F(Environment, GpusByTheDriver) {
  auto places = nowhere();
  places.cuda_driver = {"libnowhere.so.1", FAKE_CUDA};
  places.cuda_runtime = {FAKE_CUDA};
  const OrderedJson all = read_environment(places);
  EXPECT_EQ(all["versions"]["cuda_driver"], "13.1");
  EXPECT_EQ(all["versions"]["cuda_runtime"], "12.9");
  EXPECT_FALSE(all.contains("gpus_why"));
  ASSERT_EQ(all["gpus"].size(), 2U);
  EXPECT_EQ(all["gpus"][1],
            OrderedJson({{"name", "Fake 11"}, {"memory_bytes", std::int64_t{3} << 30}, {"compute_capability", "9.1"}}));
  EXPECT_NE(environment_text(all).find("\n  0                        Fake 10, 3.0 GiB, compute capability 9.1\n"),
            std::string::npos);
}

TEST_F(Environment, GpusThatCannotBeAsked) {
  auto places = nowhere();
  places.cuda_driver = places.cuda_runtime = {FAKE_CUDA};
  for (const char* call : {"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName",
                           "cuDeviceTotalMem", "cuDeviceGetAttribute"}) {
    const Variable fails("FAKE_CUDA_FAILS", call);
    const OrderedJson all = read_environment(places);
    EXPECT_TRUE(all["gpus"].empty());
    EXPECT_EQ(all["gpus_why"], fmt::format("{} gives error 999", call));
    EXPECT_TRUE(failed_parts(all).empty());
  }
  {
    const Variable fails("FAKE_CUDA_FAILS", "cudaRuntimeGetVersion");
    EXPECT_TRUE(read_environment(places)["versions"]["cuda_runtime"].is_null());
  }
  {
    const Variable none("FAKE_CUDA_NONE", "1");
    EXPECT_EQ(read_environment(places)["gpus_why"], "the driver sees none");
  }
  places.cuda_driver = {"libc.so.6"};
  EXPECT_EQ(read_environment(places)["gpus_why"], "the library has no cuInit: it is too old or another");
}

TEST_F(Environment, NeededPartsThatFailAreNamed) {
  auto places = nowhere();
  places.libtorch = "libnowhere-torch.so";
  const OrderedJson all = read_environment(places);
  EXPECT_EQ(failed_parts(all), std::vector<std::string>{"libtorch"});
  EXPECT_NE(all["self_test"]["libtorch"]["detail"].get<std::string>().find("run launch/setup.sh"), std::string::npos);
  EXPECT_NE(environment_text(all).find("\n  libtorch                 FAILED  libnowhere-torch.so: "), std::string::npos);
  places.libtorch = "libc.so.6";  // something that loads
  EXPECT_EQ(read_environment(places)["self_test"]["libtorch"]["ok"], true);
  places.timeout_s = 0;
  EXPECT_EQ(failed_parts(read_environment(places)), (std::vector<std::string>{"matmul", "mpi", "hdf5", "libtorch"}));
}

TEST_F(Environment, UnderMpirunMpiIsLeftOut) {
  const Variable ranks("OMPI_COMM_WORLD_SIZE", "1");
  const OrderedJson all = read_environment(nowhere());
  EXPECT_TRUE(all["self_test"]["mpi"]["ok"].is_null());
  EXPECT_TRUE(failed_parts(all).empty());
  EXPECT_NE(environment_text(all).find("\n  mpi                      -       left out: mpirun"), std::string::npos);
}

}  // namespace
}  // namespace thinkrec
