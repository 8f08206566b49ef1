#include "kernels/adamw.h"

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

// Several tensors with their moments.
struct State {
  std::vector<Values> parameter, gradient, first, second;
  std::vector<AdamwTensor> tensors() {
    std::vector<AdamwTensor> list;
    for (std::size_t i = 0; i < parameter.size(); ++i) {
      list.push_back({parameter[i].data(), gradient[i].data(), first[i].data(), second[i].data(),
                      static_cast<std::int64_t>(parameter[i].size()), i % 2 == 0 ? 0.01f : 0.0f});
    }
    return list;
  }
};

State make_state() {
  State state;
  unsigned seed = 1;
  for (const std::int64_t size : {1, 2, 0, 31, 33, 71 * 229, 8192, 8193}) {
    state.parameter.push_back(random_values(size, seed++));
    state.gradient.push_back(random_values(size, seed++, 0.1));
    state.first.push_back(random_values(size, seed++, 0.1));
    state.second.push_back(random_values(size, seed++, 0.01));
    for (float& value : state.second.back()) value = value * value;
  }
  return state;
}

TEST(Adamw, MatchesReference) {
  for (const std::int64_t step : {1, 2, 1000}) {
    State wanted = make_state();
    AdamwStep options;
    options.learning_rate = 1e-2;
    options.step = step;
    options.gradient_scale = 0.37;
    adamw_reference(wanted.tensors(), options);
    for (const int threads : testing::kThreadCounts) {
      State state = make_state();
      adamw(state.tensors(), options, threads);
      for (std::size_t i = 0; i < state.parameter.size(); ++i) {
        expect_close(state.first[i], wanted.first[i], 2, 0.1);
        expect_close(state.second[i], wanted.second[i], 4);
        expect_close(state.parameter[i], wanted.parameter[i], 4, 1);
      }
    }
  }
}

// torch 2.11, torch::optim::AdamW(lr 0.01, betas 0.9 and 0.999, eps 1e-8, weight decay 0.1), gradients base * step.
TEST(Adamw, MatchesTorch) {
  const Values base = {0.1f, -0.3f, 1e-5f, 2.0f, -7.0f};
  Values w = {1.0f, -2.0f, 0.5f, 0.0f, 3.25f}, g(5), m(5), v(5);
  const AdamwTensor tensor{w.data(), g.data(), m.data(), v.data(), 5, 0.1f};
  AdamwStep options;
  options.learning_rate = 0.01;
  for (options.step = 1; options.step <= 3; ++options.step) {
    for (std::size_t i = 0; i < 5; ++i) g[i] = base[i] * static_cast<float>(options.step);
    adamw({&tensor, 1}, options, 1);
    if (options.step == 1) expect_close(w, {0.989000022f, -1.98800004f, 0.48951f, -0.00999999978f, 3.25675011f}, 1);
    if (options.step == 2) expect_close(w, {0.978359222f, -1.97636032f, 0.479374766f, -0.0196418203f, 3.26314521f}, 2);
  }
  expect_close(w, {0.967800856f, -1.96480393f, 0.46931982f, -0.0292021912f, 3.26946211f}, 3);
  expect_close(m, {0.0560999997f, -0.168300003f, 5.60999979e-06f, 1.12199998f, -3.92700005f}, 2);
  expect_close(v, {0.000139940021f, 0.00125946023f, 1.39940002e-12f, 0.0559760034f, 0.685706079f}, 2);
}

TEST(Adamw, GradientScaleIsTheScaledGradient) {
  State scaled = make_state(), state = make_state();
  AdamwStep options;
  options.learning_rate = 1e-3;
  options.gradient_scale = 0.25;
  adamw(scaled.tensors(), options, 2);
  for (Values& gradient : state.gradient) {
    for (float& value : gradient) value *= 0.25f;
  }
  options.gradient_scale = 1;
  adamw(state.tensors(), options, 1);
  for (std::size_t i = 0; i < state.parameter.size(); ++i) expect_same_bits(scaled.parameter[i], state.parameter[i]);
}

TEST(GradientNorm, MatchesReferenceForAnyNumberOfThreads) {
  State state = make_state();
  const GradientNorm wanted = gradient_norm_reference(state.tensors());
  const GradientNorm one = gradient_norm(state.tensors(), 1);
  EXPECT_NEAR(one.norm, wanted.norm, 1e-13 * wanted.norm);
  EXPECT_TRUE(one.finite && wanted.finite);
  for (const int threads : testing::kThreadCounts) EXPECT_EQ(gradient_norm(state.tensors(), threads).norm, one.norm);
  EXPECT_EQ(gradient_norm({}, 1).norm, 0);
  EXPECT_TRUE(gradient_norm({}, 1).finite);
}

TEST(GradientNorm, LargeGradientsAreFinite) {
  Values w(40), g(40, std::numeric_limits<float>::max());
  const AdamwTensor tensor{w.data(), g.data(), w.data(), w.data(), 40, 0};
  EXPECT_TRUE(gradient_norm({&tensor, 1}, 1).finite);
  EXPECT_NEAR(gradient_norm({&tensor, 1}, 1).norm, std::sqrt(40.0) * std::numeric_limits<float>::max(), 1e25);
}

TEST(GradientNorm, FindsNanAndInfinityAnywhere) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {0u, 30u, 32u}) {
      State state = make_state();
      state.gradient[4][place] = bad;
      EXPECT_FALSE(gradient_norm(state.tensors(), 2).finite);
      EXPECT_FALSE(gradient_norm_reference(state.tensors()).finite);
    }
  }
}

TEST(Adamw, RejectsBadArguments) {
  State state = make_state();
  AdamwStep options;
  expect_check_fails([&] { adamw(state.tensors(), options, 0); });
  expect_check_fails([&] { gradient_norm(state.tensors(), 0); });
  options.step = 0;
  expect_check_fails([&] { adamw(state.tensors(), options, 1); });
  expect_check_fails([&] { adamw_reference(state.tensors(), options); });
  for (const double beta : {-0.1, 1.0}) {
    AdamwStep first, second;
    first.beta1 = beta;
    second.beta2 = beta;
    expect_check_fails([&] { adamw(state.tensors(), first, 1); });
    expect_check_fails([&] { adamw(state.tensors(), second, 1); });
    expect_check_fails([&] { adamw_reference(state.tensors(), first); });
  }
  const AdamwTensor bad{nullptr, nullptr, nullptr, nullptr, -1, 0};
  expect_check_fails([&] { adamw({&bad, 1}, AdamwStep{}, 1); });
  expect_check_fails([&] { adamw_reference({&bad, 1}, AdamwStep{}); });
  expect_check_fails([&] { gradient_norm({&bad, 1}, 1); });
  expect_check_fails([&] { gradient_norm_reference({&bad, 1}); });
}

}  // namespace
}  // namespace thinkrec::kernels
