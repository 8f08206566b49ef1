#include "comm/rank_threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>

#include "support/mpi_world.h"

namespace thinkrec {
namespace {

/// This rank on one CPU, the `number`-th of those it may run on, for as long as it lives.
class OnOneCpu {
 public:
  explicit OnOneCpu(int number) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    int cpu = 0;
    for (int left = number;; ++cpu) {
      if (CPU_ISSET(cpu, &before_) && left-- == 0) break;
    }
    CPU_SET(cpu, &one);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~OnOneCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnOneCpu(const OnOneCpu&) = delete;
  OnOneCpu& operator=(const OnOneCpu&) = delete;

 private:
  cpu_set_t before_ = {};
};

TEST(RankThreads, AreWhatIsWantedElseWhatOpenMpIsTold) {
  for (const auto& [told, number] : {std::pair{"3", 3}, {"4,2", 4}, {" 5 ", 5}, {"99999999999999999999", 1024}}) {
    ::setenv("OMP_NUM_THREADS", told, 1);
    EXPECT_EQ(rank_threads(0, 2), number) << told;
    EXPECT_EQ(rank_threads(7, 2), 7) << told;
  }
  ::unsetenv("OMP_NUM_THREADS");
}

TEST(RankThreads, AreElseTheCpusThatTheRankMayRunOn) {
  const int cpus = allowed_cpus();
  for (const char* told : {"", "0", "-2", "many", static_cast<const char*>(nullptr)}) {
    told != nullptr ? ::setenv("OMP_NUM_THREADS", told, 1) : ::unsetenv("OMP_NUM_THREADS");
    EXPECT_EQ(rank_threads(0, 1), cpus);
    EXPECT_EQ(rank_threads(0, 2), std::max(1, cpus / 2));
    EXPECT_EQ(rank_threads(0, cpus + 1), 1);
  }
  const OnOneCpu bound(cpus - 1);
  EXPECT_EQ(rank_threads(0, 1), 1);
}

TEST(RankThreads, AreSharedByRanksOnTheSameCpusAlone) {
  const auto node = test_world().split_by_node();
  std::int64_t elsewhere = node->size() - ranks_on_own_cpus(*node);
  node->all_reduce_max(std::span(&elsewhere, 1));
  if (elsewhere > 0) GTEST_SKIP() << "the launcher has bound the ranks";
  const int cpus = allowed_cpus(), own = node->rank() % cpus;
  int together = 0;
  for (int r = 0; r < node->size(); ++r) together += r % cpus == own;
  const OnOneCpu bound(own);
  EXPECT_EQ(ranks_on_own_cpus(*node), together);
}

}  // namespace
}  // namespace thinkrec
