// Tests that fail, each in its way: jobs_test.cpp runs them one by one under mpirun to see what support/mpi_main.cpp makes of it.

#include <gtest/gtest.h>

#include <stdexcept>

#include "support/mpi_world.h"

namespace thinkrec {
namespace {

TEST(Job, Passes) { test_world().barrier(); }

TEST(Job, FailsOnTheLastRank) { EXPECT_NE(test_world().rank(), test_world().size() - 1); }

TEST(Job, FailsFatallyOnTheLastRank) {
  ASSERT_NE(test_world().rank(), test_world().size() - 1);
  test_world().barrier();
}

TEST(Job, ThrowsOnTheLastRank) {
  if (test_world().rank() == test_world().size() - 1) throw std::runtime_error("thrown in a test");
  test_world().barrier();
}

}  // namespace
}  // namespace thinkrec
