#include "kernels/rms_norm.h"

#include <gtest/gtest.h>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_close;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

struct Shape {
  std::int64_t rows, width;
};
constexpr Shape kShapes[] = {{0, 5}, {1, 1}, {1, 2}, {2, 31}, {33, 33}, {71, 229}, {5, 576}};
constexpr float kEps = 1e-5f;

TEST(RmsNorm, MatchesReference) {
  for (const auto [rows, width] : kShapes) {
    for (const bool with_residual : {false, true}) {
      const Values x = random_values(rows * width, 1, 3), residual = random_values(rows * width, 2);
      const Values weight = random_values(width, 3), grad = random_values(rows * width, 4),
                   through = random_values(rows * width, 5);
      const std::size_t size = x.size(), count = static_cast<std::size_t>(rows);
      Values wanted_sum(size), wanted(size), wanted_inverse(count), wanted_grad(size);
      const float* r = with_residual ? residual.data() : nullptr;
      rms_norm_forward_reference(x.data(), r, weight.data(), kEps, rows, width, with_residual ? wanted_sum.data() : nullptr,
                                 wanted.data(), wanted_inverse.data());
      if (!with_residual) wanted_sum = x;
      rms_norm_backward_reference(grad.data(), wanted_sum.data(), weight.data(), wanted_inverse.data(), rows, width,
                                  with_residual ? through.data() : nullptr, wanted_grad.data());
      for (const int threads : testing::kThreadCounts) {
        Values sum = x, out(size), inverse(count), grad_x(size);
        rms_norm_forward(x.data(), r, weight.data(), kEps, rows, width, with_residual ? sum.data() : nullptr, out.data(),
                         inverse.data(), threads);
        expect_same_bits(sum, wanted_sum);
        expect_close(inverse, wanted_inverse, 4);
        expect_close(out, wanted, 6);
        rms_norm_backward(grad.data(), wanted_sum.data(), weight.data(), wanted_inverse.data(), rows, width,
                          with_residual ? through.data() : nullptr, grad_x.data(), threads);
        expect_close(grad_x, wanted_grad, 8, width < 3 ? 8 : 1);
      }
    }
  }
}

TEST(RmsNorm, AliasedOutputs) {
  const std::int64_t rows = 7, width = 45;
  const Values x = random_values(rows * width, 1), residual = random_values(rows * width, 2), weight = random_values(width, 3);
  Values sum(x.size()), out(x.size()), inverse(7), in_place = x, out2(x.size()), inverse2(7);
  rms_norm_forward(x.data(), residual.data(), weight.data(), kEps, rows, width, sum.data(), out.data(), inverse.data(), 2);
  rms_norm_forward(in_place.data(), residual.data(), weight.data(), kEps, rows, width, in_place.data(), out2.data(),
                   inverse2.data(), 2);
  expect_same_bits(in_place, sum);
  expect_same_bits(out2, out);
  expect_same_bits(inverse2, inverse);
  Values grad = random_values(rows * width, 4), through = random_values(rows * width, 5), wanted(x.size());
  rms_norm_backward(grad.data(), sum.data(), weight.data(), inverse.data(), rows, width, through.data(), wanted.data(), 2);
  rms_norm_backward(grad.data(), sum.data(), weight.data(), inverse.data(), rows, width, through.data(), through.data(), 2);
  expect_same_bits(through, wanted);
}

TEST(RmsNorm, RowOfZeros) {
  const Values x(33, 0.0f), weight(33, 1.0f);
  Values out(33, 5.0f), inverse(1), grad(33, 1.0f), grad_x(33);
  rms_norm_forward(x.data(), nullptr, weight.data(), kEps, 1, 33, nullptr, out.data(), inverse.data(), 1);
  EXPECT_EQ(out, x);
  EXPECT_FLOAT_EQ(inverse[0], 1 / std::sqrt(kEps));
  rms_norm_backward(grad.data(), x.data(), weight.data(), inverse.data(), 1, 33, nullptr, grad_x.data(), 1);
  for (const float value : grad_x) EXPECT_FLOAT_EQ(value, 1 / std::sqrt(kEps));
}

TEST(RmsNorm, GradientByDifferences) {
  const std::int64_t rows = 3, width = 31;
  std::vector<double> x = random_values<double>(rows * width, 1), residual = random_values<double>(rows * width, 2);
  const std::vector<double> weight = random_values<double>(width, 3), grad = random_values<double>(rows * width, 4);
  const std::vector<double> through = random_values<double>(rows * width, 5);
  std::vector<double> sum(x.size()), out(x.size()), inverse(3), grad_x(x.size());
  const auto value = [&] {
    rms_norm_forward_reference(x.data(), residual.data(), weight.data(), kEps, rows, width, sum.data(), out.data(),
                               inverse.data());
    return testing::dot(out, grad) + testing::dot(sum, through);
  };
  value();
  rms_norm_backward_reference(grad.data(), sum.data(), weight.data(), inverse.data(), rows, width, through.data(), grad_x.data());
  testing::expect_near(grad_x, testing::numeric_gradient(x, value), 1e-7);
  testing::expect_near(grad_x, testing::numeric_gradient(residual, value), 1e-7);
}

TEST(RmsNorm, RejectsBadArguments) {
  float one = 1, sum = 0, out = 0, inverse = 0;
  expect_check_fails([&] { rms_norm_forward(&one, nullptr, &one, kEps, -1, 1, nullptr, &out, &inverse, 1); });
  expect_check_fails([&] { rms_norm_forward(&one, nullptr, &one, kEps, 1, 0, nullptr, &out, &inverse, 1); });
  expect_check_fails([&] { rms_norm_forward(&one, nullptr, &one, kEps, 1, 1, nullptr, &out, &inverse, 0); });
  expect_check_fails([&] { rms_norm_forward(&one, &one, &one, kEps, 1, 1, nullptr, &out, &inverse, 1); });
  expect_check_fails([&] { rms_norm_forward(&one, nullptr, &one, kEps, 1, 1, &sum, &out, &inverse, 1); });
  expect_check_fails([&] { rms_norm_forward_reference(&one, nullptr, &one, kEps, 1, 1, &sum, &out, &inverse); });
  expect_check_fails([&] { rms_norm_forward_reference(&one, nullptr, &one, kEps, 1, 0, nullptr, &out, &inverse); });
  expect_check_fails([&] { rms_norm_backward(&one, &one, &one, &one, -1, 1, nullptr, &out, 1); });
  expect_check_fails([&] { rms_norm_backward(&one, &one, &one, &one, 1, 0, nullptr, &out, 1); });
  expect_check_fails([&] { rms_norm_backward(&one, &one, &one, &one, 1, 1, nullptr, &out, 0); });
  expect_check_fails([&] { rms_norm_backward_reference(&one, &one, &one, &one, 1, 0, nullptr, &out); });
}

}  // namespace
}  // namespace thinkrec::kernels
