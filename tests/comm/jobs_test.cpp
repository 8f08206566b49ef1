// Jobs that go wrong under mpirun end at once, with the right exit code, and say why.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace {

struct Outcome {
  int code = -1;
  std::string output;
  double seconds = 0.0;
};

/// Through a shell, without what an outer mpirun or srun may have left in the environment.
Outcome run(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  const std::string clean =
      "for v in $(env | sed -n 's/^\\(\\(OMPI\\|PMIX\\|PMI\\|SLURM\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset $v; done; ";
  Outcome outcome;
  FILE* pipe = popen((clean + "exec 2>&1; " + command).c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

const std::string kWorldJob = "'" THINKREC_BINARY_DIR "/comm_world_job' ";
const std::string kTestJob = "'" THINKREC_BINARY_DIR "/comm_mpi_main_job' --gtest_color=no --gtest_filter=Job.";

std::string on(int ranks, const std::string& job) {
  return "timeout 60 '" THINKREC_SOURCE_DIR "/launch/mpirun.sh' " + std::to_string(ranks) + " " + job;
}

constexpr double kAtOnce = 30.0;  // seconds; a job that waits for its lost rank waits for ever

TEST(World, IsAloneWithoutALauncher) {
  const auto outcome = run(kWorldJob + "size");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.output, "rank 0 of 1\n");
}

TEST(World, IsAllRanksUnderMpirun) {
  const auto outcome = run(on(2, kWorldJob + "size"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("rank 0 of 2"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("rank 1 of 2"), std::string::npos) << outcome.output;
}

TEST(World, RefusesToBeOneOfSeveralStrangers) {
  const auto outcome = run("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=2 " + kWorldJob + "size");
  EXPECT_EQ(outcome.code, 64);
  EXPECT_NE(outcome.output.find("srun started 4 tasks"), std::string::npos) << outcome.output;
  EXPECT_EQ(run("SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0 " + kWorldJob + "size").code, 0);
}

TEST(World, AbortEndsEveryRankWithItsCode) {
  for (const int ranks : {1, 2}) {
    const auto outcome = run(on(ranks, kWorldJob + "abort"));
    EXPECT_EQ(outcome.code, 76) << outcome.output;
    EXPECT_LT(outcome.seconds, kAtOnce);
  }
  EXPECT_EQ(run(kWorldJob + "abort").code, 76);  // without MPI
}

TEST(World, ARankThatThrowsDoesNotLeaveTheOthersWaiting) {
  const auto outcome = run(on(2, kWorldJob + "throw"));
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.output.find("error: rank 1 gives up"), std::string::npos) << outcome.output;
  EXPECT_LT(outcome.seconds, kAtOnce);
}

TEST(World, EndsInGoodOrderWhenAllRanksUnwind) {
  const auto outcome = run(on(2, kWorldJob + "stop"));
  EXPECT_EQ(outcome.code, 75) << outcome.output;
  EXPECT_LT(outcome.seconds, kAtOnce);
}

TEST(MpiMain, PassesWhenAllRanksPass) {
  const auto outcome = run(on(2, kTestJob + "Passes"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  const auto first = outcome.output.find("[  PASSED  ] 1 test");
  EXPECT_NE(first, std::string::npos) << outcome.output;
  EXPECT_EQ(outcome.output.find("[  PASSED  ] 1 test", first + 1), std::string::npos)
      << "only rank 0 reports: " << outcome.output;
}

TEST(MpiMain, FailsWhenOneRankFails) {
  const auto outcome = run(on(2, kTestJob + "FailsOnTheLastRank"));
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.output.find("rank 1 of 2: Job.FailsOnTheLastRank"), std::string::npos) << outcome.output;
}

TEST(MpiMain, EndsTheJobWhenOneRankLeavesItsTest) {
  const auto fatal = run(on(2, kTestJob + "FailsFatallyOnTheLastRank"));
  EXPECT_NE(fatal.code, 0);
  EXPECT_NE(fatal.output.find("rank 1 of 2: Job.FailsFatallyOnTheLastRank"), std::string::npos) << fatal.output;
  EXPECT_LT(fatal.seconds, kAtOnce);
  const auto thrown = run(on(2, kTestJob + "ThrowsOnTheLastRank"));
  EXPECT_NE(thrown.code, 0);
  EXPECT_NE(thrown.output.find("rank 1 of 2: exception: thrown in a test"), std::string::npos) << thrown.output;
  EXPECT_LT(thrown.seconds, kAtOnce);
}

}  // namespace
