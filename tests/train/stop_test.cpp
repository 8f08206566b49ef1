#include "train/stop.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "support/mpi_world.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

TEST(SharedStop, PassesASignalToOneRankOnToThoseThatLook) {
  install_stop_handlers();
  Collectives& world = test_world();
  const bool signalled = world.rank() == world.size() - 1, looks = world.rank() == 0;
  const testing::TempFolder folder;
  std::string path = folder.file("stop");
  broadcast_text(world, path, 0);
  if (world.rank() == 0) folder.put("stop", "1");  // of an earlier life
  // Until it looks again.
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1100)); };
  {
    const SharedStop shared(path, world, looks);
    wait();
    EXPECT_FALSE(stop_requested());
    world.barrier();
    if (signalled) std::raise(SIGUSR2);
    world.barrier();
    wait();
    EXPECT_EQ(stop_requested(), signalled || looks);
    world.barrier();
  }
  {
    const SharedStop again(path, world, false);
    world.barrier();
    if (world.rank() == 0) {
      EXPECT_EQ(folder.read("stop"), "1") << "one asked before it was shared";
    }
    world.barrier();
  }
  if (signalled) std::raise(SIGUSR2);
  world.barrier();
  if (world.rank() == 0) {
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "a later signal makes no file";
  }
  world.barrier();
}

TEST(SharedStop, EndsAllRanksWhereItsFileCannotBeMade) {
  testing::expect_error(ExitCode::kIo, "/nowhere/stop", [] { const SharedStop shared("/nowhere/stop", test_world(), true); });
}

}  // namespace
}  // namespace thinkrec
