#include "comm/watchdog.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <sstream>
#include <thread>

#include "support/testing.h"

namespace thinkrec {
namespace {

using testing::TempFolder;

WatchdogOptions options(const TempFolder& folder, double limit) { return {folder.file("watch"), limit, limit, false}; }

TEST(Watchdog, PassesEveryCallOn) {
  const TempFolder folder;
  const auto solo = make_solo_collectives();
  Watchdog dog(options(folder, 60), *solo);
  const auto watched = dog.watch(*solo);
  EXPECT_EQ(watched->rank(), 0);
  EXPECT_EQ(watched->size(), 1);
  std::vector<float> floats = {1, 2};
  std::vector<double> doubles = {3};
  std::vector<std::int64_t> integers = {4};
  watched->all_reduce_sum(std::span(floats));
  watched->all_reduce_sum(std::span(doubles));
  watched->all_reduce_sum(std::span(integers));
  watched->all_reduce_max(std::span(integers));
  EXPECT_EQ(floats, (std::vector<float>{1, 2}));
  EXPECT_EQ(integers, (std::vector<std::int64_t>{4}));
  EXPECT_EQ(all_gather_values<float>(*watched, floats), floats);
  watched->broadcast(std::as_writable_bytes(std::span(floats)), 0);
  watched->barrier();
  watched->note_progress();
  EXPECT_EQ(watched->split(0)->size(), 1);
  EXPECT_EQ(watched->split(-1), nullptr);
  EXPECT_EQ(watched->split_by_node()->allocate_shared(64)->bytes().size(), 64u);
}

TEST(Watchdog, LetsARankThatGetsOnLive) {
  const TempFolder folder;
  const auto solo = make_solo_collectives();
  Watchdog dog(options(folder, 0.8), *solo);
  for (int i = 0; i < 8; ++i) {
    dog.step("steps", i + 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    dog.note_progress();
  }
  dog.quiet("the end");
}

/// Steps of 10 ms, whose limit is a second; what takes longer with good reason is no alarm, which would end this test.
TEST(Watchdog, HasPatienceWithASaveAndWithTheFirstStepsOfAStage) {
  const TempFolder folder;
  const auto solo = make_solo_collectives();
  WatchdogOptions patient = options(folder, 1);
  patient.quiet_limit_s = 30;
  Watchdog dog(patient, *solo);
  std::int64_t step = 0;
  const auto steps = [&](const char* stage) {
    for (int i = 0; i < 6; ++i) {
      dog.step(stage, ++step);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  steps("activate/main");
  dog.slow();
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  steps("activate/main");
  dog.step("expert/0", 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  steps("expert/0");
}

TEST(Watchdog, KeepsAllCollectivesOnRequest) {
  const TempFolder folder;
  const auto solo = make_solo_collectives();
  WatchdogOptions keep = options(folder, 60);
  keep.keep_all = true;
  constexpr int kCalls = 2500;  // more than a flight record holds
  {
    Watchdog dog(keep, *solo);
    const auto watched = dog.watch(*solo);
    std::vector<float> values(3);
    dog.step("activate/main", 7);
    for (int i = 0; i < kCalls; ++i) watched->all_reduce_sum(std::span(values));
  }
  std::istringstream record(folder.read("watch/collectives-0.txt"));
  std::string line;
  int lines = 0;
  while (std::getline(record, line)) lines += line.ends_with("\tworld\tall_reduce_sum\t12\tactivate/main\t7");
  EXPECT_EQ(lines, kCalls);
}

/// A rank alone that neither moves nor waits is its own fault.
TEST(WatchdogDeathTest, EndsARankThatGetsNowhere) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const TempFolder folder;
  const char* watch = "THINKREC_TEST_WATCH";  // the child runs the test from its start, with another temporary folder
  ::setenv(watch, folder.file("watch").c_str(), 0);
  EXPECT_EXIT(
      {
        const auto solo = make_solo_collectives();
        Watchdog dog({::getenv(watch), 0.5, 0.5, false}, *solo);
        const auto watched = dog.watch(*solo);
        for (int i = 0; i < 2500; ++i) watched->barrier();
        dog.step("activate/main", 7);
        std::this_thread::sleep_for(std::chrono::seconds(20));
      },
      ::testing::ExitedWithCode(71),
      "rank 0 \\(process [0-9]+ on .*\\) runs on without getting anywhere for .* in activate/main step 7, after collective #2500 \\(barrier of 0 "
      "bytes in group 'world'\\)");
  // Of them the last thousand, in their order.
  std::istringstream flight(folder.read("watch/flight-0.txt"));
  std::vector<std::string> barriers;
  for (std::string line; std::getline(flight, line);) {
    if (line.find("barrier") != std::string::npos) barriers.push_back(line);
  }
  ASSERT_EQ(barriers.size(), 1000U);
  EXPECT_NE(barriers.front().find("1501"), std::string::npos) << barriers.front();
  EXPECT_NE(barriers.back().find("2500"), std::string::npos) << barriers.back();
  ::unsetenv(watch);
}

TEST(Watchdog, NeedsAFolderItCanWrite) {
  const TempFolder folder;
  const auto solo = make_solo_collectives();
  folder.put("file", "");
  testing::expect_error(ExitCode::kIo, "cannot make the watchdog's folder", [&] {
    Watchdog({folder.file("file/watch"), 60, 600, false}, *solo);
  });
  std::filesystem::create_directories(folder.path() / "watch" / "rank-0");
  testing::expect_error(ExitCode::kIo, "the watchdog's page cannot be written", [&] { Watchdog(options(folder, 60), *solo); });
  WatchdogOptions keep{folder.file("kept"), 60, 600, true};
  std::filesystem::create_directories(folder.path() / "kept" / "collectives-0.txt");
  testing::expect_error(ExitCode::kIo, "the record of collectives cannot be written", [&] { Watchdog(keep, *solo); });
}

}  // namespace
}  // namespace thinkrec
