#include "train/step_guard.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thinkrec {
namespace {

TEST(StepGuard, EndsARunAfterTooManyLostStepsInARow) {
  StepGuard guard(2, 0);
  EXPECT_FALSE(guard.losing());
  EXPECT_EQ(guard.lost(1), "");
  EXPECT_EQ(guard.lost(2), "");
  EXPECT_TRUE(guard.losing());
  guard.add(0.5);
  EXPECT_FALSE(guard.losing());
  EXPECT_EQ(guard.lost(4), "");
  EXPECT_EQ(guard.lost(5), "");
  EXPECT_EQ(guard.lost(6), "3 steps in a row were not finite");
}

TEST(StepGuard, EndsARunThatLosesOneStepInAHundred) {
  StepGuard guard(3, 0);
  std::int64_t step = 0;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(guard.lost(step += 60), "") << step;
    guard.add(0.5);
  }
  EXPECT_EQ(guard.lost(step += 60), "11 of the last 660 steps were not finite");

  StepGuard sparse(3, 0);  // one in 101 steps may be lost for ever
  for (step = 101; step < 20000; step += 101) {
    EXPECT_EQ(sparse.lost(step), "") << step;
    sparse.add(0.5);
  }
}

TEST(StepGuard, ALossThatLeapsIsAboveTheLimit) {
  StepGuard guard(3, 8);
  for (std::size_t i = 0; i + 1 < StepGuard::kWindow; ++i) guard.add(1 + 0.1 * static_cast<double>(i % 3));
  EXPECT_TRUE(std::isinf(guard.loss_limit()));  // too few losses yet
  guard.add(1.1);
  EXPECT_NEAR(guard.loss_limit(), 1.1 + 8 * 0.1, 1e-12);
  for (std::size_t i = 0; i < StepGuard::kWindow; ++i) guard.add(3);
  EXPECT_EQ(guard.loss_limit(), 3);  // the old ones are forgotten
  StepGuard off(3, 0);
  for (std::size_t i = 0; i < 2 * StepGuard::kWindow; ++i) off.add(1);
  EXPECT_TRUE(std::isinf(off.loss_limit()));
}

TEST(StepGuard, GoesOnFromACheckpoint) {
  StepGuard guard(1, 8);
  for (std::size_t i = 0; i < StepGuard::kWindow; ++i) guard.add(static_cast<double>(i));
  EXPECT_EQ(guard.lost(129), "");
  StepGuard back(1, 8);
  back.restore(nlohmann::json::parse(guard.state().dump()));
  EXPECT_EQ(back.loss_limit(), guard.loss_limit());
  EXPECT_EQ(back.lost(130), "2 steps in a row were not finite");
}

}  // namespace
}  // namespace thinkrec
