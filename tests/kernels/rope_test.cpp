#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <numbers>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_close;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;
using Positions = std::vector<std::uint32_t>;

constexpr RopeScaling kPlain{};

struct Shape {
  std::int64_t tokens, heads, head_width;
};
constexpr Shape kShapes[] = {{0, 2, 4}, {1, 1, 2}, {2, 3, 6}, {31, 0, 4}, {33, 2, 62}, {71, 3, 64}, {5, 9, 66}};

Positions random_positions(std::int64_t tokens, std::uint32_t length) {
  std::mt19937 generator(3);
  Positions position(static_cast<std::size_t>(tokens));
  for (std::uint32_t& p : position) p = static_cast<std::uint32_t>(generator() % length);
  return position;
}

TEST(Rope, MatchesReferenceAndBackwardUndoesForward) {
  for (const auto [tokens, heads, head_width] : kShapes) {
    const RopeTable table = make_rope_table(100, head_width, 1e4, kPlain);
    const Positions position = random_positions(tokens, 100);
    const Values x = random_values(tokens * heads * head_width, 1);
    Values wanted = x, wanted_back = x;
    rope_forward_reference(wanted.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data());
    rope_backward_reference(wanted_back.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data());
    Values first;
    for (const int threads : testing::kThreadCounts) {
      Values y = x, back = x;
      rope_forward(y.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data(), threads);
      expect_close(y, wanted, 2, 2);
      rope_backward(back.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data(), threads);
      expect_close(back, wanted_back, 2, 2);
      if (first.empty()) first = y;
      expect_same_bits(y, first);
      rope_backward(y.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data(), threads);
      expect_close(y, x, 4, 2);
    }
  }
}

// <forward(x), g> = <x, backward(g)>: backward is the transpose of the linear map forward.
TEST(Rope, BackwardIsTheGradient) {
  const std::int64_t tokens = 5, heads = 2, head_width = 6, n = tokens * heads * head_width;
  const RopeTable table = make_rope_table(50, head_width, 1e4, kPlain);
  const Positions position = random_positions(tokens, 50);
  const Values x = random_values(n, 1), g = random_values(n, 2);
  Values y = x, back = g;
  rope_forward(y.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data(), 1);
  rope_backward(back.data(), tokens, heads, head_width, position.data(), table.cos.data(), table.sin.data(), 1);
  double forward = 0, backward = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    forward += static_cast<double>(y[i]) * g[i];
    backward += static_cast<double>(x[i]) * back[i];
  }
  EXPECT_NEAR(forward, backward, 1e-5);
}

TEST(Rope, RotateHalfConvention) {
  // One head of width 4: features 0 and 2 are a pair, 1 and 3 the other.
  const float quarter = static_cast<float>(std::numbers::pi / 2);
  const Values cos = {std::cos(quarter), 1}, sin = {std::sin(quarter), 0};
  const Positions position = {0};
  Values x = {1, 2, 3, 4};
  rope_forward(x.data(), 1, 1, 4, position.data(), cos.data(), sin.data(), 1);
  expect_close(x, {-3, 2, 1, 4}, 2);
}

TEST(Rope, ScoresDependOnDistanceOnly) {
  const RopeTable table = make_rope_table(2000, 64, 1e5, kPlain);
  const Values q = random_values(64, 1), k = random_values(64, 2);
  const auto score = [&](std::uint32_t at_q, std::uint32_t at_k) {
    Values a = q, b = k;
    rope_forward(a.data(), 1, 1, 64, &at_q, table.cos.data(), table.sin.data(), 1);
    rope_forward(b.data(), 1, 1, 64, &at_k, table.cos.data(), table.sin.data(), 1);
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
  };
  EXPECT_NEAR(score(7, 3), score(1507, 1503), 2e-3);
  EXPECT_GT(std::abs(score(7, 3) - score(7, 5)), 1e-2);
}

TEST(RopeTable, HoldsCosineAndSineOfEveryAngle) {
  const RopeTable table = make_rope_table(7, 6, 1e4, kPlain);
  const std::vector<float> frequency = rope_inverse_frequencies(6, 1e4, kPlain);
  EXPECT_EQ(table.length, 7);
  EXPECT_EQ(table.head_width, 6);
  ASSERT_EQ(table.cos.size(), 21u);
  ASSERT_EQ(table.sin.size(), 21u);
  for (std::size_t p = 0; p < 7; ++p) {
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_FLOAT_EQ(table.cos[p * 3 + i], std::cos(static_cast<float>(p) * frequency[i]));
      EXPECT_FLOAT_EQ(table.sin[p * 3 + i], std::sin(static_cast<float>(p) * frequency[i]));
    }
  }
  EXPECT_TRUE(make_rope_table(0, 6, 1e4, kPlain).cos.empty());
}

// transformers' formulas, operation by operation in torch 2.11 fp32: head width 64, theta 5e5; then llama3 with factor 32, low 1,
// high 4, length 8192 (Llama 3.2). One unit of room for the power function.
TEST(RopeFrequencies, MatchTransformers) {
  const std::vector<float> plain = {1.0f,
                                    0.663601279f,
                                    0.440366626f,
                                    0.292227834f,
                                    0.193922758f,
                                    0.128687382f,
                                    0.0853971019f,
                                    0.0566696189f,
                                    0.0376060307f,
                                    0.0249554086f,
                                    0.0165604409f,
                                    0.0109895291f,
                                    0.00729266508f,
                                    0.00483942125f,
                                    0.00321144611f,
                                    0.0021311196f,
                                    0.00141421345f,
                                    0.000938473851f,
                                    0.000622772437f,
                                    0.000413272559f,
                                    0.000274248188f,
                                    0.000181991432f,
                                    0.000120769742f,
                                    8.01429487e-05f,
                                    5.31829573e-05f,
                                    3.52922762e-05f,
                                    2.34199979e-05f,
                                    1.55415401e-05f,
                                    1.03133852e-05f,
                                    6.84397537e-06f,
                                    4.54167048e-06f,
                                    3.01385808e-06f};
  const std::vector<float> scaled = {1.0f,
                                     0.663601279f,
                                     0.440366626f,
                                     0.292227834f,
                                     0.193922758f,
                                     0.128687382f,
                                     0.0853971019f,
                                     0.0566696189f,
                                     0.0376060307f,
                                     0.0249554086f,
                                     0.0165604409f,
                                     0.0109895291f,
                                     0.00729266508f,
                                     0.00483942125f,
                                     0.00321144611f,
                                     0.00129054801f,
                                     0.000429556705f,
                                     9.70828623e-05f,
                                     1.94616387e-05f,
                                     1.29147675e-05f,
                                     8.57025589e-06f,
                                     5.68723226e-06f,
                                     3.77405445e-06f,
                                     2.50446715e-06f,
                                     1.66196742e-06f,
                                     1.10288363e-06f,
                                     7.31874934e-07f,
                                     4.85673127e-07f,
                                     3.22293289e-07f,
                                     2.1387423e-07f,
                                     1.41927202e-07f,
                                     9.41830649e-08f};
  expect_close(rope_inverse_frequencies(64, 5e5, kPlain), plain, 1);
  // Between the two wavelengths the difference from the low factor magnifies that unit.
  expect_close(rope_inverse_frequencies(64, 5e5, RopeScaling{true, 32, 1, 4, 8192}), scaled, 3);
}

TEST(Rope, RejectsBadArguments) {
  expect_check_fails([] { rope_inverse_frequencies(0, 1e4, kPlain); });
  expect_check_fails([] { rope_inverse_frequencies(7, 1e4, kPlain); });
  expect_check_fails([] { rope_inverse_frequencies(8, 0, kPlain); });
  expect_check_fails([] { rope_inverse_frequencies(8, std::nan(""), kPlain); });
  expect_check_fails([] { rope_inverse_frequencies(8, 1e4, RopeScaling{true, 0, 1, 4, 8192}); });
  expect_check_fails([] { rope_inverse_frequencies(8, 1e4, RopeScaling{true, 8, 0, 4, 8192}); });
  expect_check_fails([] { rope_inverse_frequencies(8, 1e4, RopeScaling{true, 8, 4, 4, 8192}); });
  expect_check_fails([] { rope_inverse_frequencies(8, 1e4, RopeScaling{true, 8, 1, 4, 0}); });
  expect_check_fails([] { make_rope_table(-1, 8, 1e4, kPlain); });
  Values x(8);
  const Positions position = {0};
  const float* c = x.data();
  for (const Shape bad : {Shape{-1, 1, 4}, Shape{1, -1, 4}, Shape{1, 1, 3}, Shape{1, 1, 0}}) {
    expect_check_fails([&] { rope_forward(x.data(), bad.tokens, bad.heads, bad.head_width, position.data(), c, c, 1); });
    expect_check_fails([&] { rope_backward(x.data(), bad.tokens, bad.heads, bad.head_width, position.data(), c, c, 1); });
    expect_check_fails([&] { rope_forward_reference(x.data(), bad.tokens, bad.heads, bad.head_width, position.data(), c, c); });
    expect_check_fails([&] { rope_backward_reference(x.data(), bad.tokens, bad.heads, bad.head_width, position.data(), c, c); });
  }
  expect_check_fails([&] { rope_forward(x.data(), 1, 1, 4, position.data(), c, c, 0); });
}

}  // namespace
}  // namespace thinkrec::kernels
