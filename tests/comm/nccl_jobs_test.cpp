// Jobs over NCCL (its test double) that meet faults end within the time-out, with exit code 71 on the whole, and say why.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "comm/job.h"

namespace {

using namespace thinkrec;

constexpr double kTimeOut = 3.0;  // seconds, timeout_s of the job

/// `fault` as nccl_double.cpp takes it. Calls of the job: 1 setting up, 2-4 sums, 5 broadcast, 6 setting up pairs, 7 a sum in pairs.
Outcome with_fault(int ranks, const std::string& fault, double timeout = kTimeOut) {
  return run("NCCL_DOUBLE_FAULT='" + fault + "' " +
             on(ranks, "'" THINKREC_BINARY_DIR "/comm_nccl_job' '" THINKREC_BINARY_DIR "/libthinkrec_nccl_double.so' " +
                           std::to_string(timeout)));
}

using Cases = std::vector<std::pair<std::string, std::string>>;  // fault, part of what is said

bool has(const Outcome& outcome, const std::string& part) { return outcome.output.find(part) != std::string::npos; }

TEST(NcclJob, EndsWell) {
  for (const int ranks : {1, 2, 3}) {
    const auto outcome = with_fault(ranks, "");
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    for (int r = 0; r < ranks; ++r) EXPECT_TRUE(has(outcome, "rank " + std::to_string(r) + " is through")) << outcome.output;
  }
}

TEST(NcclJob, SurvivesASlowRank) {
  for (const char* fault : {"1/delay@1:700", "1/delay@3:700", "delay@5:700", "0/delay@6:700"}) {
    const auto outcome = with_fault(2, fault, 20.0);
    EXPECT_EQ(outcome.code, 0) << fault << ": " << outcome.output;
    EXPECT_GE(outcome.seconds, 0.7) << fault;
  }
}

TEST(NcclJob, TimesOutWhenARankHangs) {
  for (const auto& [fault, call] : Cases{{"1/hang@1", "ncclCommInitRankConfig on rank"},
                                         {"1/hang@3", "ncclAllReduce of 4 bytes, call 2 on rank"},
                                         {"0/hang@5", "ncclBroadcast of 4 bytes, call 4 on rank"},
                                         {"1/hang@6", "ncclCommInitRankConfig on rank"},
                                         {"hang@7", "ncclAllReduce of 4 bytes, call 1 on rank"}}) {
    const auto outcome = with_fault(2, fault);
    EXPECT_EQ(outcome.code, 71) << fault << ": " << outcome.output;
    EXPECT_TRUE(has(outcome, "error: " + call)) << fault << ": " << outcome.output;
    EXPECT_TRUE(has(outcome, fault.back() >= '6' ? "of group 'world/0'" : "of group 'world'")) << fault << ": " << outcome.output;
    EXPECT_TRUE(has(outcome, "s: a rank is lost, hangs or is slow")) << fault << ": " << outcome.output;
    EXPECT_TRUE(has(outcome, "allow more time (timeout_s); NCCL_DEBUG=INFO")) << fault << ": " << outcome.output;
    EXPECT_GE(outcome.seconds, kTimeOut) << fault;
    EXPECT_LT(outcome.seconds, kTimeOut + 10.0) << fault << ": " << outcome.output;
  }
}

TEST(NcclJob, TimesOutAlone) {
  const auto outcome = with_fault(1, "hang@2", 1.0);
  EXPECT_EQ(outcome.code, 71) << outcome.output;
  EXPECT_TRUE(has(outcome, "ncclAllReduce of 4 bytes, call 1 on rank 0 of 1 of group 'world', GPU 0: not done after 1."))
      << outcome.output;
}

TEST(NcclJob, EndsAtOnceOnAnErrorOfOneRank) {
  constexpr double kLong = 100.0;  // nobody waits for it
  for (
      const auto& [fault, reason] : Cases{
          {"1/fail@1", "unhandled system error: the double was told to fail"},
          {"2/fail@4",
           "ncclAllReduce of 4 bytes, call 3 on rank 2 of 3 of group 'world', GPU 2: unhandled system error: the double was told to fail"},
          {"0/async@1", "remote process exited or there was a network error: the double was told to lose its peer"},
          {"1/async@3", "remote process exited or there was a network error: the double was told to lose its peer"},
          {"async@7", "of group 'world/"}}) {
    const auto outcome = with_fault(3, fault, kLong);
    EXPECT_EQ(outcome.code, 71) << fault << ": " << outcome.output;
    EXPECT_TRUE(has(outcome, reason)) << fault << ": " << outcome.output;
    EXPECT_TRUE(has(outcome, "a rank or the network is lost")) << fault << ": " << outcome.output;
    EXPECT_LT(outcome.seconds, 20.0) << fault << ": " << outcome.output;
  }
}

TEST(NcclJob, TellsAGpuThatFailsFromAPeer) {
  const auto outcome = with_fault(2, "1/cuda@3", 100.0);
  EXPECT_EQ(outcome.code, 70) << outcome.output;
  EXPECT_TRUE(has(outcome, "ncclAllReduce on rank 1 of group 'world': GPU 1 failed: an illegal memory access was encountered"))
      << outcome.output;
  EXPECT_LT(outcome.seconds, 20.0);
}

/// The first rank sees its peer lost at once, too.
TEST(NcclJob, LetsTheRankWithTheCauseSpeak) {
  const auto outcome = with_fault(2, "1/cuda@3,0/async@3", 100.0);
  EXPECT_EQ(outcome.code, 70) << outcome.output;
  EXPECT_TRUE(has(outcome, "GPU 1 failed: an illegal memory access was encountered")) << outcome.output;
  EXPECT_FALSE(has(outcome, "a rank or the network is lost")) << outcome.output;
}

TEST(NcclJob, TellsMisuseFromAPeer) {
  const auto outcome = with_fault(2, "1/misuse@2", 100.0);
  EXPECT_EQ(outcome.code, 70) << outcome.output;
  EXPECT_TRUE(has(outcome, "invalid usage: the double was told to misuse; NCCL_DEBUG=WARN tells more")) << outcome.output;
  EXPECT_LT(outcome.seconds, 20.0);
}

TEST(NcclJob, EndsWhenARankIsKilled) {
  for (const char* fault : {"1/die@1", "1/die@4"}) {
    const auto outcome = with_fault(2, fault, 100.0);
    EXPECT_NE(outcome.code, 0) << fault << ": " << outcome.output;
    EXPECT_LT(outcome.seconds, 20.0) << fault << ": " << outcome.output;
  }
}

}  // namespace
