// Jobs that go wrong under mpirun end at once, with the right exit code, and say why.

#include <gtest/gtest.h>

#include <string>

#include "comm/job.h"

namespace {

using namespace thinkrec;

const std::string kWorldJob = "'" THINKREC_BINARY_DIR "/comm_world_job' ";
const std::string kTestJob = "'" THINKREC_BINARY_DIR "/comm_mpi_main_job' --gtest_color=no --gtest_filter=Job.";

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
