#include "data/sampler.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.h"

namespace thinkrec {
namespace {

TEST(Permuted, IsAPermutationOfAnySize) {
  for (const std::int64_t size : {1, 2, 3, 7, 64, 65, 1000}) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < size; ++i) seen.insert(permuted(i, size, 9, 1, 2));
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), size);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
  EXPECT_THROW(permuted(5, 5, 0, 0, 0), Error);
}

TEST(Permuted, ChangesWithSeedStreamAndEpoch) {
  int same = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const std::int64_t base = permuted(i, 1000, 1, 1, 1);
    same += base == permuted(i, 1000, 2, 1, 1) ? 1 : 0;
    same += base == permuted(i, 1000, 1, 2, 1) ? 1 : 0;
    same += base == permuted(i, 1000, 1, 1, 2) ? 1 : 0;
  }
  EXPECT_LT(same, 30);  // three expected
}

TEST(Sampler, MixesAtTheShareAndSeesEachRowOnceAnEpoch) {
  const Sampler sampler(40, 7, 0.2, 8, 3);
  std::map<std::int64_t, int> recommendations, reasons;
  std::int64_t number = 0, reason_count = 0;
  for (std::int64_t step = 0; step < 25; ++step) {  // 200 draws: 160 + 40
    for (const Draw& draw : sampler.step(step)) {
      EXPECT_EQ(draw.number, static_cast<std::uint64_t>(number++));
      ++(draw.reason ? reasons : recommendations)[draw.index];
      reason_count += draw.reason ? 1 : 0;
      EXPECT_NEAR(static_cast<double>(reason_count), 0.2 * static_cast<double>(number), 1.0);  // spread evenly
    }
  }
  EXPECT_EQ(reason_count, 40);
  for (std::int64_t i = 0; i < 40; ++i) EXPECT_EQ(recommendations[i], 4) << i;  // four whole epochs
  for (std::int64_t i = 0; i < 7; ++i) EXPECT_NEAR(reasons[i], 40.0 / 7, 1) << i;
}

TEST(Sampler, IsAPureFunctionOfTheStep) {
  const Sampler a(100, 10, 0.2, 5, 3), b(100, 10, 0.2, 5, 3);
  b.step(3);
  const auto x = a.step(17), y = b.step(17);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(x[i].index, y[i].index);
}

TEST(Sampler, AnEmptySourceLeavesAllToTheOther) {
  for (const Draw& draw : Sampler(10, 0, 0.2, 20, 1).step(0)) EXPECT_FALSE(draw.reason);
  for (const Draw& draw : Sampler(0, 10, 0.2, 20, 1).step(0)) EXPECT_TRUE(draw.reason);
  EXPECT_THROW(Sampler(0, 0, 0.2, 20, 1), Error);
}

}  // namespace
}  // namespace thinkrec
