#include "kernels/product.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <memory>
#include <string>

#include "kernels/fp32_product.h"
#include "kernels/kernel_testing.h"
#include "kernels/split_product.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

/// What makes a product.
enum class Units { kVector, kTwoParts, kThreeParts };

bool have(Units units) { return units == Units::kVector ? have_fp32_products() : have_split_products(); }
int parts(Units units) { return units == Units::kTwoParts ? 2 : 3; }

std::int64_t workspace(Units units, const Product& product, int threads) {
  return units == Units::kVector ? fp32_product_workspace(product, threads) * 4 : split_product_workspace(product, parts(units), threads) * 2;
}
void run(Units units, const Product& product, void* memory, int threads) {
  if (units == Units::kVector) return fp32_product(product, static_cast<float*>(memory), threads);
  split_product(product, parts(units), static_cast<std::uint16_t*>(memory), threads);
}

Values product(Units units, const Values& x, const Values& w, std::int64_t rows, std::int64_t inner, std::int64_t outs, bool transposed, int threads) {
  // What lies in the result and in the workspace before must not count.
  Values result(static_cast<std::size_t>(rows * outs), std::numeric_limits<float>::quiet_NaN());
  const Product wanted{x.data(), w.data(), result.data(), rows, inner, outs, transposed};
  const auto bytes = static_cast<std::size_t>(workspace(units, wanted, threads));
  const std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(64, (bytes + 63) / 64 * 64), std::free);
  std::fill_n(static_cast<unsigned char*>(memory.get()), bytes, static_cast<unsigned char>(0xff));
  run(units, wanted, memory.get(), threads);
  return result;
}

Values reference(const Values& x, const Values& w, std::int64_t rows, std::int64_t inner, std::int64_t outs, bool transposed) {
  Values result(static_cast<std::size_t>(rows * outs));
  product_reference({x.data(), w.data(), result.data(), rows, inner, outs, transposed});
  return result;
}

class ProductTest : public ::testing::TestWithParam<Units> {
 protected:
  void SetUp() override {
    if (!have(GetParam())) GTEST_SKIP() << "this build or machine has no such units";
  }
  static Values product(const Values& x, const Values& w, std::int64_t rows, std::int64_t inner, std::int64_t outs, bool transposed, int threads) {
    return kernels::product(GetParam(), x, w, rows, inner, outs, transposed, threads);
  }
};
INSTANTIATE_TEST_SUITE_P(, ProductTest, ::testing::Values(Units::kVector, Units::kTwoParts, Units::kThreeParts), [](const auto& test) {
  return std::string(test.param == Units::kVector ? "Vector" : test.param == Units::kTwoParts ? "TwoParts" : "ThreeParts");
});

struct Shape {
  std::int64_t rows, inner, outs;
};
// Whole tiles and blocks, one more, one less, one.
constexpr Shape kShapes[] = {{1, 1, 1}, {32, 32, 32}, {33, 31, 17}, {7, 65, 33}, {71, 229, 229}, {16, 768, 400}, {31, 769, 47}, {5, 1600, 15}, {57, 385, 330}};

TEST_P(ProductTest, MatchesFp64) {
  for (const auto [rows, inner, outs] : kShapes) {
    const Values x = random_values(rows * inner, 1), w = random_values(inner * outs, 2);
    for (const bool transposed : {true, false}) {
      const double size = std::sqrt(static_cast<double>(inner));  // of a sum of `inner` products
      // A chain of sums rounds at each of 384 steps, the tiles' sums of pairs less often.
      const double ulps = GetParam() == Units::kTwoParts ? 0x1p23 * 0x1p-14 : GetParam() == Units::kVector ? 32 : 16;
      testing::expect_close(product(x, w, rows, inner, outs, transposed, 1), reference(x, w, rows, inner, outs, transposed), ulps, size);
    }
  }
}

TEST_P(ProductTest, AnyThreadsAndAnyOtherRowsGiveTheSameBits) {
  const std::int64_t rows = 75, inner = 900, outs = 813;
  const Values x = random_values(rows * inner, 1), w = random_values(inner * outs, 2);
  for (const bool transposed : {true, false}) {
    const Values all = product(x, w, rows, inner, outs, transposed, 1);
    for (const int threads : testing::kThreadCounts) expect_same_bits(product(x, w, rows, inner, outs, transposed, threads), all);
    for (const std::int64_t count : {1, 13, 14, 15, 16, 17, 40, 57}) {
      const Values some(x.end() - count * inner, x.end());
      expect_same_bits(product(some, w, count, inner, outs, transposed, 2), Values(all.end() - count * outs, all.end()));
    }
  }
}

TEST_P(ProductTest, HoldsEveryBit) {
  if (GetParam() == Units::kTwoParts) GTEST_SKIP() << "two parts hold 16 bits";
  const std::int64_t rows = 40, inner = 96;
  Values x = random_values(rows * inner, 3, 1e3), one(static_cast<std::size_t>(inner * inner));
  x[0] = 0x1.fffffep127f / 4;
  x[1] = -0x1.fffffep-90f;
  x[2] = 16777215;
  for (std::int64_t i = 0; i < inner; ++i) one[static_cast<std::size_t>(i * inner + i)] = 1;
  expect_same_bits(product(x, one, rows, inner, inner, false, 1), x);
  expect_same_bits(product(one, x, inner, inner, rows, true, 1), [&] {
    Values turned(x.size());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < inner; ++i) turned[static_cast<std::size_t>(i * rows + r)] = x[static_cast<std::size_t>(r * inner + i)];
    return turned;
  }());
}

TEST_P(ProductTest, WhatIsNotFiniteStaysInItsRow) {
  const std::int64_t rows = 35, inner = 70, outs = 20;
  const Values w = random_values(inner * outs, 2), clean = random_values(rows * inner, 1);
  const Values wanted = product(clean, w, rows, inner, outs, true, 1);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Values x = clean;
    x[5 * inner + 69] = bad;
    const Values got = product(x, w, rows, inner, outs, true, 1);
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (i / outs == 5) {
        EXPECT_FALSE(std::isfinite(got[i]));
      } else {
        EXPECT_EQ(got[i], wanted[i]);
      }
    }
  }
}

TEST_P(ProductTest, NoRowsAreNoWork) { EXPECT_TRUE(product({}, random_values(6, 1), 0, 2, 3, true, 2).empty()); }

TEST(Product, RefusesWhatMakesNoSense) {
  float one = 1, result = 0;
  const Product fine{&one, &one, &result, 1, 1, 1, true};
  const auto fails = [&](const auto& change) {
    Product wrong = fine;
    change(wrong);
    for (const Units units : {Units::kVector, Units::kTwoParts, Units::kThreeParts}) {
      expect_check_fails([&] { run(units, wrong, nullptr, 1); });
      expect_check_fails([&] { (void)workspace(units, wrong, 1); });
    }
    expect_check_fails([&] { product_reference(wrong); });
  };
  fails([](Product& p) { p.rows = -1; });
  fails([](Product& p) { p.inner = 0; });
  fails([](Product& p) { p.outs = 0; });
  expect_check_fails([&] { split_product(fine, 4, nullptr, 1); });
  expect_check_fails([&] { (void)split_product_workspace(fine, 4, 1); });
  for (const Units units : {Units::kVector, Units::kThreeParts}) {
    expect_check_fails([&] { run(units, fine, nullptr, 0); });
    if (!have(units)) expect_check_fails([&] { run(units, fine, nullptr, 1); });
  }
}

}  // namespace
}  // namespace thinkrec::kernels
