#include "kernels/cross_entropy.h"

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
using Targets = std::vector<std::int64_t>;

struct Shape {
  std::int64_t rows, vocab;
};
constexpr Shape kShapes[] = {{0, 5}, {1, 1}, {2, 2}, {3, 31}, {33, 33}, {71, 229}, {2, 1023}, {2, 1025}, {3, 5001}};

Targets targets(std::int64_t rows, std::int64_t vocab) {
  Targets target(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < target.size(); ++i) target[i] = static_cast<std::int64_t>(i * 7919) % vocab;
  return target;
}

TEST(CrossEntropy, MatchesReference) {
  for (const auto [rows, vocab] : kShapes) {
    const Values logits = random_values(rows * vocab, 1, 5);
    const Targets target = targets(rows, vocab);
    Values weight(target.size());
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i % 4) * 0.5f;
    Values wanted = logits, wanted_loss(weight.size());
    softmax_cross_entropy_reference(wanted.data(), target.data(), weight.data(), rows, vocab, wanted_loss.data(), true);
    Values first;
    for (const int threads : testing::kThreadCounts) {
      Values grad = logits, loss(weight.size()), same = logits, loss2(weight.size());
      softmax_cross_entropy(grad.data(), target.data(), weight.data(), rows, vocab, loss.data(), true, threads);
      expect_close(loss, wanted_loss, 8, 1);
      expect_close(grad, wanted, 16, 0.01);
      if (first.empty()) first = grad;
      expect_same_bits(grad, first);
      softmax_cross_entropy(same.data(), target.data(), weight.data(), rows, vocab, loss2.data(), false, threads);
      expect_same_bits(same, logits);
      expect_same_bits(loss2, loss);
    }
  }
}

TEST(CrossEntropy, LargeLogitsAndRisingMaxima) {
  // Blocks whose maxima rise, fall, and dwarf what came before; all far outside the range of exp.
  const std::int64_t vocab = 4099;
  Values logits = random_values(vocab, 1);
  for (std::int64_t i = 0; i < vocab; ++i) logits[static_cast<std::size_t>(i)] += static_cast<float>(i < 3000 ? i : -i);
  const Targets target = {2990};
  const Values weight = {1};
  Values wanted = logits, wanted_loss(1), loss(1);
  softmax_cross_entropy_reference(wanted.data(), target.data(), weight.data(), 1, vocab, wanted_loss.data(), true);
  softmax_cross_entropy(logits.data(), target.data(), weight.data(), 1, vocab, loss.data(), true, 1);
  expect_close(loss, wanted_loss, 4);
  expect_close(logits, wanted, 16, 1e-30);
}

TEST(CrossEntropy, MinusInfinityIsNoTokenAndNanComesThrough) {
  const float none = -std::numeric_limits<float>::infinity();
  Values logits(3000, none), loss(1);
  logits[2500] = 1;
  logits[2600] = 1;
  const Targets target = {2500};
  const Values weight = {1};
  softmax_cross_entropy(logits.data(), target.data(), weight.data(), 1, 3000, loss.data(), true, 1);
  EXPECT_FLOAT_EQ(loss[0], std::log(2.0f));
  EXPECT_EQ(logits[0], 0);
  EXPECT_FLOAT_EQ(logits[2500], -0.5f);
  EXPECT_FLOAT_EQ(logits[2600], 0.5f);
  for (const std::size_t place : {0u, 1029u, 2999u}) {
    Values bad(3000, 0.0f);
    bad[place] = std::nanf("");
    softmax_cross_entropy(bad.data(), target.data(), weight.data(), 1, 3000, loss.data(), false, 1);
    EXPECT_TRUE(std::isnan(loss[0])) << place;
  }
}

TEST(CrossEntropy, RowOfWeightZeroIsIgnored) {
  Values logits = {1, 2, std::nanf(""), 1, 2, 3}, loss = {9, 9};
  const Targets target = {-100, 2};
  const Values weight = {0, 1};
  softmax_cross_entropy(logits.data(), target.data(), weight.data(), 2, 3, loss.data(), false, 1);
  EXPECT_EQ(logits[0], 1);
  EXPECT_EQ(loss[0], 0);
  softmax_cross_entropy(logits.data(), target.data(), weight.data(), 2, 3, loss.data(), true, 1);
  EXPECT_EQ(loss[0], 0);
  EXPECT_EQ(logits[0], 0);
  EXPECT_EQ(logits[2], 0);
  EXPECT_NEAR(logits[3] + logits[4] + logits[5], 0, 5e-7);
}

TEST(CrossEntropy, GradientByDifferences) {
  const std::int64_t rows = 3, vocab = 7;
  std::vector<double> logits = random_values<double>(rows * vocab, 1, 2), copy, loss(3);
  const std::vector<double> weight = {1, 0, 0.3};
  const Targets target = {6, 0, 3};
  const auto value = [&] {
    copy = logits;
    softmax_cross_entropy_reference(copy.data(), target.data(), weight.data(), rows, vocab, loss.data(), false);
    return testing::dot(loss, weight);
  };
  const std::vector<double> numeric = testing::numeric_gradient(logits, value);
  copy = logits;
  softmax_cross_entropy_reference(copy.data(), target.data(), weight.data(), rows, vocab, loss.data(), true);
  testing::expect_near(copy, numeric, 1e-8);
}

TEST(CrossEntropy, RejectsBadArguments) {
  Values logits = {1, 2}, loss = {0};
  const Values weight = {1};
  for (const std::int64_t bad : {-1, 2}) {
    expect_check_fails([&] { softmax_cross_entropy(logits.data(), &bad, weight.data(), 1, 2, loss.data(), true, 1); });
    expect_check_fails([&] { softmax_cross_entropy_reference(logits.data(), &bad, weight.data(), 1, 2, loss.data(), true); });
  }
  const std::int64_t target = 0;
  expect_check_fails([&] { softmax_cross_entropy(logits.data(), &target, weight.data(), -1, 2, loss.data(), true, 1); });
  expect_check_fails([&] { softmax_cross_entropy(logits.data(), &target, weight.data(), 1, 0, loss.data(), true, 1); });
  expect_check_fails([&] { softmax_cross_entropy(logits.data(), &target, weight.data(), 1, 2, loss.data(), true, 0); });
  expect_check_fails([&] { softmax_cross_entropy_reference(logits.data(), &target, weight.data(), 1, 0, loss.data(), true); });
  EXPECT_EQ(logits, (Values{1, 2}));
}

}  // namespace
}  // namespace thinkrec::kernels
