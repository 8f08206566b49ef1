#include "core/recently_used.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace thinkrec {
namespace {

TEST(RecentlyUsed, KeepsTheLastOnes) {
  RecentlyUsed<int, std::string> kept(2);
  std::vector<int> made;
  const auto get = [&](int key) {
    return kept.get(key, [&] {
      made.push_back(key);
      return std::to_string(key);
    });
  };
  EXPECT_EQ(get(1), "1");
  EXPECT_EQ(get(2), "2");
  EXPECT_EQ(get(1), "1");
  EXPECT_EQ(get(3), "3");  // 2 was not asked for the longest
  EXPECT_EQ(get(1), "1");
  EXPECT_EQ(get(2), "2");
  EXPECT_EQ(made, (std::vector<int>{1, 2, 3, 2}));
  EXPECT_EQ(kept.size(), 2U);
}

TEST(RecentlyUsed, AReferenceOutlivesOneOtherKey) {
  RecentlyUsed<int, std::vector<int>> kept(2);
  const std::vector<int>& first = kept.get(1, [] { return std::vector<int>{7}; });
  kept.get(2, [] { return std::vector<int>{8}; });
  EXPECT_EQ(first, std::vector<int>{7});
  EXPECT_EQ(&first, &kept.get(1, [] { return std::vector<int>{}; }));
}

TEST(RecentlyUsed, WhatCannotBeMadeLeavesTheRest) {
  RecentlyUsed<int, int> kept(2);
  kept.get(1, [] { return 1; });
  EXPECT_THROW(kept.get(2, []() -> int { throw 2; }), int);
  EXPECT_EQ(kept.get(1, [] { return 5; }), 1);
  EXPECT_EQ(kept.get(2, [] { return 2; }), 2);
}

}  // namespace
}  // namespace thinkrec
