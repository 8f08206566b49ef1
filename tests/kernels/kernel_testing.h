#pragma once
// What the tests of the kernels share: random inputs, comparison by relative error, gradients by central differences.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/error.h"

namespace thinkrec::kernels::testing {

/// Thread counts to try; more than the machine has, and not dividing the sizes.
inline constexpr int kThreadCounts[] = {1, 2, 3, 7};

/// Normal values times `scale`, the same for the same seed.
template <class Real = float>
std::vector<Real> random_values(std::int64_t size, unsigned seed, double scale = 1) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<Real> values(static_cast<std::size_t>(size));
  for (Real& value : values) value = static_cast<Real>(normal(generator));
  return values;
}

/// |got - wanted| <= units * 2^-23 * max(|wanted|, floor), element by element.
inline void expect_close(const std::vector<float>& got, const std::vector<float>& wanted, double units, double floor = 0) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = units * 0x1p-23 * std::max(std::abs(static_cast<double>(wanted[i])), floor);
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - wanted[i]), bound)
        << "element " << i << ": " << got[i] << " for " << wanted[i];
  }
}

/// The same bits, so that NaN equals itself and 0 differs from -0.
inline void expect_same_bits(const std::vector<float>& got, const std::vector<float>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  ASSERT_TRUE(got.empty() || std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)) == 0);
}

/// d value() / d x[i] by central differences, for every i.
template <class Value>
std::vector<double> numeric_gradient(std::vector<double>& x, Value&& value, double h = 1e-6) {
  std::vector<double> gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double kept = x[i];
    x[i] = kept + h;
    const double above = value();
    x[i] = kept - h;
    const double below = value();
    x[i] = kept;
    gradient[i] = (above - below) / (2 * h);
  }
  return gradient;
}

inline void expect_near(const std::vector<double>& got, const std::vector<double>& wanted, double bound) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], bound) << "element " << i;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// `call` breaks a THINKREC_CHECK.
template <class Call>
void expect_check_fails(Call&& call) {
  try {
    call();
    ADD_FAILURE() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInternal) << error.what();
  }
}

}  // namespace thinkrec::kernels::testing
