#include "kernels/swiglu.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_close;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

TEST(Swiglu, MatchesReference) {
  for (const std::int64_t n : {0, 1, 2, 15, 31, 33, 71 * 229, 8192, 20001}) {
    const Values gate = random_values(n, 1, 6), up = random_values(n, 2), grad = random_values(n, 3);
    const std::size_t size = gate.size();
    Values wanted(size), wanted_gate(size), wanted_up(size);
    swiglu_forward_reference(gate.data(), up.data(), n, wanted.data());
    swiglu_backward_reference(grad.data(), gate.data(), up.data(), n, wanted_gate.data(), wanted_up.data());
    for (const int threads : testing::kThreadCounts) {
      Values out(size), grad_gate(size), grad_up(size);
      swiglu_forward(gate.data(), up.data(), n, out.data(), threads);
      swiglu_backward(grad.data(), gate.data(), up.data(), n, grad_gate.data(), grad_up.data(), threads);
      expect_close(out, wanted, 4, 1e-30);
      expect_close(grad_gate, wanted_gate, 6, 0.5);  // silu' has a zero near gate = -1.28, where relative error has no bound
      expect_close(grad_up, wanted_up, 4, 1e-30);
    }
  }
}

TEST(Swiglu, WholeRangeOfGates) {
  // Every magnitude and both signs, where exp underflows and overflows.
  Values gate;
  for (int exponent = -40; exponent <= 7; ++exponent) {
    for (const float mantissa : {1.0f, 1.3f, 1.77f}) {
      gate.push_back(std::ldexp(mantissa, exponent));
      gate.push_back(-std::ldexp(mantissa, exponent));
    }
  }
  for (int i = -2000; i <= 2000; ++i) gate.push_back(0.05f * static_cast<float>(i));
  const std::int64_t n = static_cast<std::int64_t>(gate.size());
  const Values ones(gate.size(), 1.0f);
  Values out(gate.size()), wanted(gate.size()), a(gate.size()), b(gate.size()), wanted_a(gate.size()), wanted_b(gate.size());
  swiglu_forward(gate.data(), ones.data(), n, out.data(), 1);
  swiglu_forward_reference(gate.data(), ones.data(), n, wanted.data());
  expect_close(out, wanted, 4, 1e-29);
  swiglu_backward(ones.data(), gate.data(), ones.data(), n, a.data(), b.data(), 1);
  swiglu_backward_reference(ones.data(), gate.data(), ones.data(), n, wanted_a.data(), wanted_b.data());
  expect_close(a, wanted_a, 4, 0.5);
  expect_close(b, wanted_b, 4, 1e-29);
}

TEST(Swiglu, PlaceInTheArrayDoesNotMatter) {
  const std::int64_t n = 77;
  const Values gate = random_values(n, 1, 5), up = random_values(n, 2), grad = random_values(n, 3);
  Values out(gate.size()), grad_gate(gate.size()), grad_up(gate.size());
  swiglu_forward(gate.data(), up.data(), n, out.data(), 1);
  swiglu_backward(grad.data(), gate.data(), up.data(), n, grad_gate.data(), grad_up.data(), 1);
  for (std::size_t i = 0; i < gate.size(); ++i) {
    float one = 0, one_gate = 0, one_up = 0;
    swiglu_forward(&gate[i], &up[i], 1, &one, 1);
    swiglu_backward(&grad[i], &gate[i], &up[i], 1, &one_gate, &one_up, 1);
    EXPECT_EQ(one, out[i]);
    EXPECT_EQ(one_gate, grad_gate[i]);
    EXPECT_EQ(one_up, grad_up[i]);
  }
}

TEST(Swiglu, InPlace) {
  const Values gate = random_values(100, 1), up = random_values(100, 2), grad = random_values(100, 3);
  Values wanted(100), a(100), b(100), in_gate = gate, in_up = up, in_grad = grad;
  swiglu_forward(gate.data(), up.data(), 100, wanted.data(), 2);
  swiglu_forward(in_gate.data(), up.data(), 100, in_gate.data(), 2);
  expect_same_bits(in_gate, wanted);
  in_gate = gate;
  swiglu_backward(grad.data(), gate.data(), up.data(), 100, a.data(), b.data(), 2);
  swiglu_backward(in_grad.data(), in_gate.data(), in_up.data(), 100, in_gate.data(), in_up.data(), 2);
  expect_same_bits(in_gate, a);
  expect_same_bits(in_up, b);
}

TEST(Swiglu, NanComesThrough) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), one = 1;
  float out = 0, a = 0, b = 0;
  swiglu_forward(&nan, &one, 1, &out, 1);
  swiglu_backward(&one, &nan, &one, 1, &a, &b, 1);
  EXPECT_TRUE(std::isnan(out) && std::isnan(a) && std::isnan(b));
}

TEST(Swiglu, GradientByDifferences) {
  const std::int64_t n = 33;
  std::vector<double> gate = random_values<double>(n, 1, 2), up = random_values<double>(n, 2);
  const std::vector<double> grad = random_values<double>(n, 3);
  std::vector<double> out(gate.size()), grad_gate(gate.size()), grad_up(gate.size());
  const auto value = [&] {
    swiglu_forward_reference(gate.data(), up.data(), n, out.data());
    return testing::dot(out, grad);
  };
  swiglu_backward_reference(grad.data(), gate.data(), up.data(), n, grad_gate.data(), grad_up.data());
  testing::expect_near(grad_gate, testing::numeric_gradient(gate, value), 1e-8);
  testing::expect_near(grad_up, testing::numeric_gradient(up, value), 1e-8);
}

TEST(Swiglu, RejectsBadSizes) {
  expect_check_fails([] { swiglu_forward(nullptr, nullptr, -1, nullptr, 1); });
  expect_check_fails([] { swiglu_forward(nullptr, nullptr, 0, nullptr, 0); });
  expect_check_fails([] { swiglu_backward(nullptr, nullptr, nullptr, -1, nullptr, nullptr, 1); });
  expect_check_fails([] { swiglu_backward(nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0); });
  const float* none = nullptr;
  float* nowhere = nullptr;
  expect_check_fails([&] { swiglu_forward_reference(none, none, -1, nowhere); });
  expect_check_fails([&] { swiglu_backward_reference(none, none, none, -1, nowhere, nowhere); });
}

}  // namespace
}  // namespace thinkrec::kernels
