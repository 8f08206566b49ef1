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

TEST(Sampler, DrawsRowsOfAUserTogetherAndEachRowOnceAnEpoch) {
  const std::vector<std::int32_t> user = {3, 3, 1, 3, 1, 2, 3, 3, 2, 3};
  const auto rows = static_cast<std::int64_t>(user.size());
  const Sampler sampler(user, 3, 0, 0.2, 4, 5), again(user, 3, 0, 0.2, 4, 5);
  EXPECT_EQ(again.step(9).back().index, sampler.step(9).back().index);  // whatever was asked before
  std::vector<std::int64_t> drawn;
  for (std::int64_t step = 0; step < 10; ++step) {
    for (const Draw& draw : sampler.step(step)) drawn.push_back(draw.index);
  }
  bool differs = false;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    const std::vector<std::int64_t> one(drawn.begin() + epoch * rows, drawn.begin() + (epoch + 1) * rows);
    EXPECT_EQ(std::set<std::int64_t>(one.begin(), one.end()).size(), user.size());
    std::size_t runs = 1;
    for (std::size_t i = 1; i < one.size(); ++i) {
      const auto at = [&](std::size_t j) { return user[static_cast<std::size_t>(one[j])]; };
      if (at(i) != at(i - 1)) {
        ++runs;
      } else if (one[i] < one[i - 1]) {
        ++runs;  // two blocks of a user side by side
      }
    }
    EXPECT_LE(runs, 4U);  // 6 rows of user 3 are two blocks, the others one each
    differs = differs || !std::equal(one.begin(), one.end(), drawn.begin());
  }
  EXPECT_TRUE(differs);
}

TEST(Sampler, AnEmptySourceLeavesAllToTheOther) {
  for (const Draw& draw : Sampler(10, 0, 0.2, 20, 1).step(0)) EXPECT_FALSE(draw.reason);
  for (const Draw& draw : Sampler(0, 10, 0.2, 20, 1).step(0)) EXPECT_TRUE(draw.reason);
  EXPECT_THROW(Sampler(0, 0, 0.2, 20, 1), Error);
}

}  // namespace
}  // namespace thinkrec
