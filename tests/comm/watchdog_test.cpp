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

/// A rank of two that never meets the other: from when it is told, its collectives last so long.
class RankOfTwo : public Collectives {
 public:
  explicit RankOfTwo(int rank) : rank_(rank) {}
  void last(double seconds) { seconds_ = seconds; }
  int rank() const override { return rank_; }
  int size() const override { return 2; }
  void barrier() override { std::this_thread::sleep_for(std::chrono::duration<double>(seconds_)); }
  void all_reduce_sum(std::span<float>) override { barrier(); }
  void all_reduce_sum(std::span<double>) override { barrier(); }
  void all_reduce_sum(std::span<std::int64_t>) override { barrier(); }
  void all_reduce_max(std::span<std::int64_t>) override { barrier(); }
  void broadcast(std::span<std::byte>, int) override { barrier(); }
  std::vector<std::byte> all_gather(std::span<const std::byte>) override { return barrier(), std::vector<std::byte>(); }
  std::unique_ptr<Collectives> split(int) override { return nullptr; }
  std::unique_ptr<Collectives> split_by_node() override { return nullptr; }
  std::unique_ptr<SharedMemory> allocate_shared(std::size_t) override { return nullptr; }

 private:
  int rank_;
  double seconds_ = 0;
};

/// Both ranks wait so long, in the same collective or each in its own. They may for half a second, in the same for `limit`.
void wait_in_collectives(const std::string& folder, double limit, double seconds, bool same) {
  RankOfTwo here(0), there(1);
  const WatchdogOptions both{folder, 0.5, 0.5, false, {}, limit};
  Watchdog dog(both, here), other_dog(both, there);
  const auto watched = dog.watch(here), other = other_dog.watch(there);
  here.last(seconds);
  there.last(seconds);
  std::thread thread([&] { same ? other->barrier() : static_cast<void>(other->all_gather({})); });
  watched->barrier();
  thread.join();
}

TEST(Watchdog, HasPatienceWithACollectiveThatAllRanksAreIn) {
  const TempFolder folder;
  wait_in_collectives(folder.file("watch"), 60, 2.5, true);
}

TEST(WatchdogDeathTest, EndsRanksThatWaitForEachOther) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const TempFolder folder;
  const char* watch = "THINKREC_TEST_WATCH";
  ::setenv(watch, folder.file("watch").c_str(), 0);
  EXPECT_EXIT(wait_in_collectives(::getenv(watch), 60, 20, false), ::testing::ExitedWithCode(71),
              "all ranks wait for each other: rank 0 in start, collective #1 \\(barrier of 0 bytes in group 'world'\\); "
              "rank 1 in start, collective #1 \\(all_gather of 0 bytes");
  EXPECT_EXIT(wait_in_collectives(::getenv(watch), 1.5, 20, true), ::testing::ExitedWithCode(71),
              "a collective that all ranks are in does not end: rank 0 in start, collective #1 \\(barrier of .*; "
              "rank 1 in start, collective #1 \\(barrier of ");
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
