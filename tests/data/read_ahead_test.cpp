#include "data/read_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "support/testing.h"

namespace thinkrec {
namespace {

using namespace std::chrono_literals;

TEST(ReadAhead, GivesEveryStepInOrder) {
  for (const std::size_t depth : {1U, 2U, 50U}) {
    ReadAhead<std::int64_t> steps(
        3, 30, [](std::int64_t step) { return step * step; }, depth);
    for (std::int64_t step = 3; step < 30; ++step) ASSERT_EQ(steps.next(), step * step);
    testing::expect_error(ExitCode::kInternal, "past the last step", [&] { steps.next(); });
  }
}

TEST(ReadAhead, NoSteps) {
  ReadAhead<int> none(5, 5, [](std::int64_t) { return 1; });
  testing::expect_error(ExitCode::kInternal, "past the last step", [&] { none.next(); });
  ReadAhead<int> fewer(7, 5, [](std::int64_t) { return 1; });
  testing::expect_error(ExitCode::kInternal, "past the last step", [&] { fewer.next(); });
  testing::expect_error(ExitCode::kInternal, "reading ahead by nothing", [] {
    ReadAhead<int>(
        0, 1, [](std::int64_t) { return 1; }, 0);
  });
}

TEST(ReadAhead, MakesNoMoreThanItsDepth) {
  std::atomic<std::int64_t> made = 0;
  ReadAhead<std::int64_t> steps(
      0, 1000, [&](std::int64_t step) { return ++made, step; }, 3);
  for (std::int64_t step = 0; step < 20; ++step) {
    std::this_thread::sleep_for(1ms);
    EXPECT_LE(made.load(), step + 3);
    EXPECT_EQ(steps.next(), step);
  }
  // What is left is not made: the destructor ends the thread.
}

TEST(ReadAhead, AnErrorComesOutAtItsStep) {
  ReadAhead<std::int64_t> steps(0, 9, [](std::int64_t step) {
    if (step == 2) fail(ExitCode::kBadData, "row of step {}", step);
    return step;
  });
  std::this_thread::sleep_for(5ms);  // the error is there before the steps in front of it are read
  EXPECT_EQ(steps.next(), 0);
  EXPECT_EQ(steps.next(), 1);
  testing::expect_error(ExitCode::kBadData, "row of step 2", [&] { steps.next(); });
  testing::expect_error(ExitCode::kInternal, "past the last step", [&] { steps.next(); });
}

TEST(ReadAhead, IsReadyBeforeASlowReader) {
  ReadAhead<int> steps(0, 20, [](std::int64_t) { return std::this_thread::sleep_for(1ms), 1; });
  std::this_thread::sleep_for(50ms);
  for (int step = 0; step < 20; ++step) {
    steps.next();
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_LT(steps.waited(), 0.05);
  ReadAhead<int> slow(0, 5, [](std::int64_t) { return std::this_thread::sleep_for(10ms), 1; });
  for (int step = 0; step < 5; ++step) slow.next();
  EXPECT_GT(slow.waited(), 0.03);  // waiting is counted
}

}  // namespace
}  // namespace thinkrec
