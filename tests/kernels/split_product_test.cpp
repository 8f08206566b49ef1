#include "kernels/split_product.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <memory>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

Values product(const Values& x, const Values& w, std::int64_t rows, std::int64_t inner, std::int64_t outs, bool transposed, int parts, int threads) {
  // What lies in the result and in the workspace before must not count.
  Values result(static_cast<std::size_t>(rows * outs), std::numeric_limits<float>::quiet_NaN());
  const SplitProduct split{x.data(), w.data(), result.data(), rows, inner, outs, transposed, parts};
  const auto values = static_cast<std::size_t>(split_product_workspace(split, threads));
  const std::unique_ptr<void, decltype(&std::free)> workspace(std::aligned_alloc(64, (values * 2 + 63) / 64 * 64), std::free);
  std::fill_n(static_cast<std::uint16_t*>(workspace.get()), values, std::uint16_t{0x7fc0});
  split_product(split, static_cast<std::uint16_t*>(workspace.get()), threads);
  return result;
}

Values reference(const Values& x, const Values& w, std::int64_t rows, std::int64_t inner, std::int64_t outs, bool transposed) {
  Values result(static_cast<std::size_t>(rows * outs));
  split_product_reference({x.data(), w.data(), result.data(), rows, inner, outs, transposed});
  return result;
}

class SplitProductTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_split_products()) GTEST_SKIP() << "this build or machine has no tiles";
  }
};

struct Shape {
  std::int64_t rows, inner, outs;
};
// Whole tiles and blocks, one more, one less, one.
constexpr Shape kShapes[] = {{1, 1, 1}, {32, 32, 32}, {33, 31, 17}, {7, 65, 33}, {71, 229, 229}, {16, 768, 400}, {31, 769, 47}, {5, 1600, 15}};

TEST_F(SplitProductTest, MatchesFp64) {
  for (const auto [rows, inner, outs] : kShapes) {
    const Values x = random_values(rows * inner, 1), w = random_values(inner * outs, 2);
    for (const bool transposed : {true, false}) {
      const Values wanted = reference(x, w, rows, inner, outs, transposed);
      const double size = std::sqrt(static_cast<double>(inner));  // of a sum of `inner` products
      testing::expect_close(product(x, w, rows, inner, outs, transposed, 3, 1), wanted, 16, size);
      testing::expect_close(product(x, w, rows, inner, outs, transposed, 2, 1), wanted, 0x1p23 * 0x1p-14, size);
    }
  }
}

TEST_F(SplitProductTest, AnyThreadsAndAnyOtherRowsGiveTheSameBits) {
  const std::int64_t rows = 75, inner = 900, outs = 213;
  const Values x = random_values(rows * inner, 1), w = random_values(inner * outs, 2);
  for (const bool transposed : {true, false}) {
    const Values all = product(x, w, rows, inner, outs, transposed, 3, 1);
    for (const int threads : testing::kThreadCounts) expect_same_bits(product(x, w, rows, inner, outs, transposed, 3, threads), all);
    for (const std::int64_t count : {1, 16, 17, 40}) {
      const Values some(x.end() - count * inner, x.end());
      expect_same_bits(product(some, w, count, inner, outs, transposed, 3, 2), Values(all.end() - count * outs, all.end()));
    }
  }
}

TEST_F(SplitProductTest, ThreePartsHoldEveryBit) {
  const std::int64_t rows = 40, inner = 96;
  Values x = random_values(rows * inner, 3, 1e3), one(static_cast<std::size_t>(inner * inner));
  x[0] = 0x1.fffffep127f / 4;
  x[1] = -0x1.fffffep-90f;
  x[2] = 16777215;
  for (std::int64_t i = 0; i < inner; ++i) one[static_cast<std::size_t>(i * inner + i)] = 1;
  expect_same_bits(product(x, one, rows, inner, inner, false, 3, 1), x);
  expect_same_bits(product(one, x, inner, inner, rows, true, 3, 1), [&] {
    Values turned(x.size());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < inner; ++i) turned[static_cast<std::size_t>(i * rows + r)] = x[static_cast<std::size_t>(r * inner + i)];
    return turned;
  }());
}

TEST_F(SplitProductTest, WhatIsNotFiniteStaysInItsRow) {
  const std::int64_t rows = 35, inner = 70, outs = 20;
  const Values w = random_values(inner * outs, 2), clean = random_values(rows * inner, 1);
  const Values wanted = product(clean, w, rows, inner, outs, true, 3, 1);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Values x = clean;
    x[5 * inner + 69] = bad;
    const Values got = product(x, w, rows, inner, outs, true, 3, 1);
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (i / outs == 5) {
        EXPECT_FALSE(std::isfinite(got[i]));
      } else {
        EXPECT_EQ(got[i], wanted[i]);
      }
    }
  }
}

TEST_F(SplitProductTest, NoRowsAreNoWork) { EXPECT_TRUE(product({}, random_values(6, 1), 0, 2, 3, true, 3, 2).empty()); }

TEST(SplitProduct, RefusesWhatMakesNoSense) {
  float one = 1, result = 0;
  const SplitProduct fine{&one, &one, &result, 1, 1, 1, true};
  const auto fails = [&](const auto& change) {
    SplitProduct wrong = fine;
    change(wrong);
    expect_check_fails([&] { split_product(wrong, nullptr, 1); });
    expect_check_fails([&] { (void)split_product_workspace(wrong, 1); });
    expect_check_fails([&] { split_product_reference(wrong); });
  };
  fails([](SplitProduct& p) { p.rows = -1; });
  fails([](SplitProduct& p) { p.inner = 0; });
  fails([](SplitProduct& p) { p.outs = 0; });
  fails([](SplitProduct& p) { p.parts = 4; });
  expect_check_fails([&] { split_product(fine, nullptr, 0); });
  if (!have_split_products()) expect_check_fails([&] { split_product(fine, nullptr, 1); });
}

}  // namespace
}  // namespace thinkrec::kernels
