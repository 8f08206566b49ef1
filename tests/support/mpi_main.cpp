// main of tests under mpirun. Every rank runs every test; rank 0 prints as usual, the others print only failures, and all ranks agree
// on the exit code. What takes one rank off the common path (an exception, a fatal failure) ends the job, or the others would wait for it
// in a collective until the test's time is up.

#include <gtest/gtest.h>

#include <cstdio>
#include <exception>
#include <string>

#include "comm/world.h"
#include "support/mpi_world.h"

namespace {

thinkrec::World* world_of_test = nullptr;

class Failures : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo& info) override { test_ = std::string(info.test_suite_name()) + "." + info.name(); }
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    const int rank = world_of_test->all().rank(), size = world_of_test->all().size();
    std::fprintf(stderr, "rank %d of %d: %s: %s:%d: %s\n", rank, size, test_.c_str(),
                 result.file_name() ? result.file_name() : "?", result.line_number(), result.message());
    if (result.fatally_failed() && size > 1) world_of_test->abort(1);
  }
  std::string test_;  // UnitTest may not be asked from here: it holds its lock
};

}  // namespace

namespace thinkrec {

Collectives& test_world() { return world_of_test->all(); }

}  // namespace thinkrec

int main(int argc, char** argv) {
  thinkrec::World world(argc, argv);
  world_of_test = &world;
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::GTEST_FLAG(catch_exceptions) = false;
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new Failures);
  if (world.all().rank() != 0) delete listeners.Release(listeners.default_result_printer());
  try {
    std::int64_t failed = RUN_ALL_TESTS();
    world.all().all_reduce_max(std::span(&failed, 1));
    return static_cast<int>(failed);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d of %d: exception: %s\n", world.all().rank(), world.all().size(), error.what());
  } catch (...) {
    std::fprintf(stderr, "rank %d of %d: exception of unknown type\n", world.all().rank(), world.all().size());
  }
  world.abort(1);
}
