#include "encoders/windows.h"

#include <gtest/gtest.h>

#include <set>

#include "encoders/moment.h"
#include "encoders_testing.h"

namespace thinkrec {
namespace {

TEST(Windows, EveryTrainRowIsServedOnceWithEnoughContext) {
  for (const auto& [length, stride] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {2, 1}, {5, 2}, {7, 1}, {8, 8}, {50, 25}}) {
    Dataset dataset = testing::taste_dataset(60, 9, 70, 3);
    // Train rows with holes between them.
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < dataset.interactions(); ++row)
      if (row % 7 != 3) rows.push_back(row);
    dataset.splits[0] = {rows.rbegin(), rows.rend()};
    const WindowRule rule(length, stride);
    std::set<std::int64_t> served;
    std::int64_t targets = 0;
    for (const Window& window : train_windows(dataset, rule)) {
      targets += window.targets;
      EXPECT_LE(window.first, window.last);
      EXPECT_LE(window.last - window.begin, length);
      for (std::int64_t place = window.first; place <= window.last; ++place) {
        EXPECT_EQ(rule.begin(place), window.begin);
        const std::int64_t context = place - window.begin;
        EXPECT_GE(context, std::min(place, length - stride + 1));
        EXPECT_TRUE(served.insert(dataset.user_begin[window.user] + place).second);
      }
    }
    EXPECT_EQ(targets, static_cast<std::int64_t>(rows.size()));
    for (std::int64_t row : rows) EXPECT_TRUE(served.contains(row));
  }
}

TEST(Moments, EndBeforeTheFirstTestRow) {
  Dataset dataset = testing::taste_dataset(3, 5, 9, 1);
  dataset.user_begin = {0, 4, 4, 6};
  dataset.user = {0, 0, 0, 0, 2, 2};
  dataset.item = {0, 1, 2, 3, 0, 1};
  dataset.label = {1, 0, 1, 0, 1, 1};
  dataset.splits = {{{0, 1, 4, 5}, {}, {3, 2}}};
  EXPECT_EQ(moments_before_test(dataset), (std::vector<Moment>{{0, 2}, {1, 0}, {2, 2}}));
  EXPECT_EQ(moments_before(dataset, std::vector<std::int64_t>{5, 0}), (std::vector<Moment>{{2, 1}, {0, 0}}));
  EXPECT_THROW(moments_before(dataset, std::vector<std::int64_t>{6}), Error);
  EXPECT_THROW(moments_before(dataset, std::vector<std::int64_t>{-1}), Error);
}

}  // namespace
}  // namespace thinkrec
