// A job of jobs_test.cpp: does what its argument says and tells about it on standard output.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "comm/world.h"
#include "core/error.h"

namespace {

using namespace thinkrec;

/// Leaves World's scope by an exception on rank 1, while the others wait for it.
void lose_a_rank(int argc, char** argv) {
  World world(argc, argv);
  const auto node = world.all().split_by_node();
  const auto memory = node->allocate_shared(64);
  if (world.all().rank() == 1) fail(ExitCode::kDiverged, "rank 1 gives up");
  world.all().barrier();
}

int run(const std::string& what, int argc, char** argv) {
  if (what == "throw") {
    lose_a_rank(argc, argv);
    return 0;
  }
  World world(argc, argv);
  Collectives& all = world.all();
  if (what == "size") {
    std::printf("rank %d of %d\n", all.rank(), all.size());
  } else if (what == "stop") {  // all ranks unwind, as on a request to stop, and end in good order
    try {
      const auto node = all.split_by_node();
      const auto memory = node->allocate_shared(1 << 20);
      fail(ExitCode::kStopped, "stopped");
    } catch (const Error& error) {
      return static_cast<int>(error.code());
    }
  } else if (what == "abort") {
    if (all.rank() == all.size() - 1) world.abort(76);
    all.barrier();
  } else {
    return 99;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? argv[1] : "", argc, argv);
  } catch (const Error& error) {
    std::printf("error: %s\n", error.what());
    std::fflush(stdout);
    return static_cast<int>(error.code());
  }
}
