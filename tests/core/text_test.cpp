#include <gtest/gtest.h>

#include <array>
#include <ctime>

#include "core/joined.h"
#include "core/utc_time.h"

namespace thinkrec {
namespace {

TEST(Joined, PutsTheSeparatorBetweenElementsOnly) {
  EXPECT_EQ(joined(std::vector<int>{}, ", "), "");
  EXPECT_EQ(joined(std::vector<int>{1}, ", "), "1");
  EXPECT_EQ(joined(std::vector<std::string>{"", "a", ""}, "|"), "|a|");
  EXPECT_EQ(joined(std::array{0.126, 2.0}, ", ", "{:.2f}"), "0.13, 2.00");
}

TEST(UtcTime, IsNowAsIso8601WritesIt) {
  const std::time_t before = std::time(nullptr);
  const std::string text = utc_time();
  std::tm parts{};
  ASSERT_EQ(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts), text.c_str() + text.size()) << text;
  const std::time_t time = timegm(&parts);
  EXPECT_LE(before, time);
  EXPECT_LE(time, std::time(nullptr));
}

}  // namespace
}  // namespace thinkrec
