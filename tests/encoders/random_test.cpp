#include "encoders/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace thinkrec {
namespace {

TEST(EncoderRandom, KeysDependOnEveryPartAndTheirOrder) {
  EXPECT_EQ(random_key({1, 2, 3}), random_key({1, 2, 3}));
  EXPECT_NE(random_key({1, 2, 3}), random_key({1, 3, 2}));
  EXPECT_NE(random_key({1, 2, 3}), random_key({1, 2, 4}));
  EXPECT_NE(random_key({0}), random_key({0, 0}));
}

TEST(EncoderRandom, NormalHasItsMomentsAndIsAFunctionOfTheCounter) {
  std::vector<float> values(20001), few(7);
  fill_normal(values, 5, 0.5);
  fill_normal(few, 5, 0.5);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), values.begin()));
  double sum = 0, squares = 0, lagged = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    squares += double{values[i]} * values[i];
    if (i > 0) lagged += double{values[i]} * values[i - 1];
  }
  const double n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 0.015);
  EXPECT_NEAR(squares / n, 0.25, 0.01);
  EXPECT_NEAR(lagged / n, 0, 0.01);
}

TEST(EncoderRandom, DropoutKeepsItsRateAndIsIndependent) {
  for (double rate : {0.0, 0.1, 0.5, 0.9}) {
    std::vector<float> a(40003), b(a.size()), few(17);
    fill_dropout(a, random_key({1, 2}), rate);
    fill_dropout(b, random_key({1, 3}), rate);
    fill_dropout(few, random_key({1, 2}), rate);
    EXPECT_TRUE(std::equal(few.begin(), few.end(), a.begin()));
    double kept = 0, both = 0, neighbours = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_FLOAT_EQ(a[i], a[i] == 0 ? 0.0f : static_cast<float>(1 / (1 - rate)));
      kept += a[i] != 0;
      both += a[i] != 0 && b[i] != 0;
      neighbours += i > 0 && a[i] != 0 && a[i - 1] != 0;
    }
    const double n = static_cast<double>(a.size()), keep = 1 - rate;
    EXPECT_NEAR(kept / n, keep, 0.01);
    EXPECT_NEAR(both / n, keep * keep, 0.01);
    EXPECT_NEAR(neighbours / n, keep * keep, 0.01);
  }
  std::vector<float> one(1);
  EXPECT_THROW(fill_dropout(one, 0, 1.0), Error);
  EXPECT_THROW(fill_dropout(one, 0, -0.1), Error);
}

TEST(EncoderRandom, PermutationsArePermutationsAndEvenlySpread) {
  EXPECT_TRUE(random_permutation(0, 1).empty());
  std::vector<int> first(5);
  for (std::uint64_t key = 0; key < 5000; ++key) {
    auto order = random_permutation(5, random_key({key}));
    ++first[order[0]];
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 2, 3, 4}));
  }
  for (int count : first) EXPECT_NEAR(count, 1000, 130);
}

}  // namespace
}  // namespace thinkrec
