#include "kernels/attention_softmax.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_close;
using testing::random_values;
using Values = std::vector<float>;

/// Rows that see 1, some and all columns, with gaps between them.
struct Case {
  std::int64_t columns;
  std::vector<std::int64_t> seen;
  AttentionRows shape() const { return {static_cast<std::int64_t>(seen.size()), columns, columns + 3, seen.data()}; }
  std::int64_t size() const { return static_cast<std::int64_t>(seen.size()) * (columns + 3); }
};
const std::vector<Case> kCases = {
    {1, {1}}, {2, {1, 2}}, {33, {1, 31, 32, 33, 16}}, {229, {229, 7, 71, 228, 1}}, {1030, {1030, 1024, 15}}};

TEST(AttentionSoftmax, MatchesReference) {
  for (const Case& one : kCases) {
    const Values scores = random_values(one.size(), 1, 9);
    Values wanted = scores, got = scores, wanted_sum(one.seen.size()), sum(one.seen.size());
    attention_softmax_reference(one.shape(), wanted.data(), wanted_sum.data());
    attention_softmax(one.shape(), got.data(), sum.data());
    expect_close(got, wanted, 32, 1e-7);
    expect_close(sum, wanted_sum, 4, 1);

    const Values grads = random_values(one.size(), 2), delta = random_values(static_cast<std::int64_t>(one.seen.size()), 3);
    Values again = scores, wanted_again = scores, grad = grads, wanted_grad = grads;
    attention_softmax_backward(one.shape(), sum.data(), delta.data(), again.data(), grad.data());
    attention_softmax_backward_reference(one.shape(), sum.data(), delta.data(), wanted_again.data(), wanted_grad.data());
    expect_close(again, wanted_again, 32, 1e-7);
    expect_close(grad, wanted_grad, 64, 1e-6);
  }
}

TEST(AttentionDelta, MatchesReference) {
  for (const std::int64_t width : {1, 15, 16, 64, 71, 128}) {
    const std::int64_t rows = 5;
    const Values out = random_values(rows * width, 5), grad = random_values(rows * width, 6);
    Values wanted(5), got(5);
    attention_delta_reference(rows, width, out.data(), grad.data(), wanted.data());
    attention_delta(rows, width, out.data(), grad.data(), got.data());
    expect_close(got, wanted, 64, 1e-6);
  }
}

TEST(AttentionSoftmax, WeightsAddUpToOneAndWhatIsNotSeenIsZero) {
  for (const Case& one : kCases) {
    Values scores = random_values(one.size(), 4, 60), sum(one.seen.size());
    const Values before = scores;
    attention_softmax(one.shape(), scores.data(), sum.data());
    for (std::size_t row = 0; row < one.seen.size(); ++row) {
      double total = 0;
      for (std::int64_t i = 0; i < one.columns + 3; ++i) {
        const std::size_t at = row * static_cast<std::size_t>(one.columns + 3) + static_cast<std::size_t>(i);
        total += i < one.columns ? scores[at] : 0;
        if (i >= one.seen[row]) {
          EXPECT_EQ(scores[at], i < one.columns ? 0 : before[at]);  // the gap is nobody's
        }
      }
      EXPECT_NEAR(total, 1, 1e-5);
    }
  }
}

TEST(AttentionSoftmax, LargeScoresStayFinite) {
  const std::vector<std::int64_t> seen = {4};
  Values scores = {1e30f, -1e30f, 1e30f, 3}, sum(1);
  attention_softmax({1, 4, 4, seen.data()}, scores.data(), sum.data());
  EXPECT_EQ(scores, (Values{0.5f, 0, 0.5f, 0}));
  Values bad = {1, std::nanf(""), 0, 0};
  attention_softmax({1, 4, 4, seen.data()}, bad.data(), sum.data());
  EXPECT_TRUE(std::isnan(bad[0]));  // seen at once, not hidden
}

}  // namespace
}  // namespace thinkrec::kernels
