#include "kernels/yes_bce.h"

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
constexpr Shape kShapes[] = {{0, 5}, {1, 1}, {2, 2}, {31, 33}, {71, 229}, {8, 576}};

Values labels(std::int64_t rows) {
  Values label(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < label.size(); ++i) label[i] = static_cast<float>(i * 7 % 3 % 2);
  return label;
}

TEST(YesBce, MatchesReference) {
  for (const auto [rows, width] : kShapes) {
    const Values hidden = random_values(rows * width, 1), yes = random_values(width, 2, 2 / std::sqrt(width)),
                 label = labels(rows);
    Values weight(label.size(), 0.25f);
    for (std::size_t i = 0; i < weight.size(); i += 5) weight[i] = 0;
    const std::size_t count = label.size();
    Values wanted_logit(count), wanted_loss(count), wanted_grad(hidden.size());
    yes_bce_reference(hidden.data(), yes.data(), label.data(), weight.data(), rows, width, wanted_logit.data(),
                      wanted_loss.data(), wanted_grad.data());
    Values first;
    for (const int threads : testing::kThreadCounts) {
      Values logit(count), loss(count), grad(hidden.size()), logit2(count), loss2(count);
      yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), rows, width, logit.data(), loss.data(), grad.data(),
              threads);
      expect_close(logit, wanted_logit, 8, 4);
      expect_close(loss, wanted_loss, 16, 1);
      expect_close(grad, wanted_grad, 32, 0.01);
      if (first.empty()) first = grad;
      expect_same_bits(grad, first);
      yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), rows, width, logit2.data(), loss2.data(), nullptr, threads);
      expect_same_bits(logit2, logit);
      expect_same_bits(loss2, loss);
    }
  }
}

TEST(YesBce, StableAtLargeLogits) {
  // width 1 and yes_weight 1: the logit is the hidden state.
  const Values hidden = {100, 100, -100, -100, 30, 30, -30, -30, 0, 1e30f, -1e30f};
  const Values label = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0}, weight(11, 1.0f), yes = {1};
  Values logit(11), loss(11), grad(11), wanted_logit(11), wanted_loss(11), wanted_grad(11);
  yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), 11, 1, logit.data(), loss.data(), grad.data(), 1);
  yes_bce_reference(hidden.data(), yes.data(), label.data(), weight.data(), 11, 1, wanted_logit.data(), wanted_loss.data(),
                    wanted_grad.data());
  expect_same_bits(logit, hidden);
  // In relative terms, down to exp(-100) = 3.7e-44, where float has a grain of 1.4e-45.
  expect_close(loss, wanted_loss, 4, 1.2e-37);
  expect_close(grad, wanted_grad, 4, 1.2e-37);
  EXPECT_GT(loss[0], 0);
  EXPECT_FLOAT_EQ(loss[1], 100);
  EXPECT_FLOAT_EQ(grad[1], 1);
  EXPECT_FLOAT_EQ(grad[2], -1);
  EXPECT_LT(grad[0], 0);
  EXPECT_FLOAT_EQ(loss[4], 9.357623e-14f);
  EXPECT_FLOAT_EQ(loss[8], std::log(2.0f));
}

TEST(YesBce, RowWithoutAnswerIsIgnored) {
  const Values hidden = {1, 2, 3, 4}, yes = {0.5f, -1}, label = {std::nanf(""), 1}, weight = {0, 1};
  Values logit(2), loss(2, 9), grad(4, 9);
  yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), 2, 2, logit.data(), loss.data(), grad.data(), 1);
  EXPECT_FLOAT_EQ(logit[0], -1.5f);
  EXPECT_EQ(loss[0], 0);
  EXPECT_EQ(grad[0], 0);
  EXPECT_EQ(grad[1], 0);
  EXPECT_NE(grad[2], 0);
}

TEST(YesBce, NanComesThrough) {
  const float hidden = std::nanf(""), one = 1;
  float logit = 0, loss = 0, grad = 0;
  yes_bce(&hidden, &one, &one, &one, 1, 1, &logit, &loss, &grad, 1);
  EXPECT_TRUE(std::isnan(logit) && std::isnan(loss) && std::isnan(grad));
}

TEST(YesBce, GradientByDifferences) {
  const std::int64_t rows = 5, width = 9;
  std::vector<double> hidden = random_values<double>(rows * width, 1);
  const std::vector<double> yes = random_values<double>(width, 2), label = {1, 0, 1, 0, 0}, weight = {1, 0.5, 0, 2, 1};
  std::vector<double> logit(5), loss(5), grad(hidden.size());
  const auto value = [&] {
    yes_bce_reference(hidden.data(), yes.data(), label.data(), weight.data(), rows, width, logit.data(), loss.data(), nullptr);
    return testing::dot(loss, weight);
  };
  yes_bce_reference(hidden.data(), yes.data(), label.data(), weight.data(), rows, width, logit.data(), loss.data(), grad.data());
  testing::expect_near(grad, testing::numeric_gradient(hidden, value), 1e-8);
}

TEST(YesBce, RejectsBadSizes) {
  float one = 1, logit = 0, loss = 0;
  expect_check_fails([&] { yes_bce(&one, &one, &one, &one, -1, 1, &logit, &loss, nullptr, 1); });
  expect_check_fails([&] { yes_bce(&one, &one, &one, &one, 1, 0, &logit, &loss, nullptr, 1); });
  expect_check_fails([&] { yes_bce(&one, &one, &one, &one, 1, 1, &logit, &loss, nullptr, 0); });
  expect_check_fails([&] { yes_bce_reference(&one, &one, &one, &one, 1, 0, &logit, &loss, nullptr); });
}

}  // namespace
}  // namespace thinkrec::kernels
