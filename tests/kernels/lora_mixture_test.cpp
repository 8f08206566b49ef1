#include "kernels/lora_mixture.h"

#include <gtest/gtest.h>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_close;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

constexpr std::int64_t kTokens = 41, kWidth = 37, kRank = 5, kQ = 33, kV = 7;

struct Problem {
  std::int64_t experts;
  Values x = random_values(kTokens * kWidth, 1), a_q, b_q, a_v, b_v, weight;
  Values q_out = random_values(kTokens * kQ, 6), v_out = random_values(kTokens * kV, 7), q_low, v_low;
  Values grad_q = random_values(kTokens * kQ, 8), grad_v = random_values(kTokens * kV, 9),
         grad_x = random_values(kTokens * kWidth, 14);
  Values grad_a_q, grad_b_q, grad_a_v, grad_b_v;
  std::vector<std::uint64_t> sample;
  std::vector<std::uint32_t> position;

  Problem(std::int64_t e, bool one_hot) : experts(e) {
    a_q = random_values(e * kRank * kWidth, 2), a_v = random_values(e * kRank * kWidth, 3);
    b_q = random_values(e * kQ * kRank, 4), b_v = random_values(e * kV * kRank, 5);
    grad_a_q = random_values(e * kRank * kWidth, 10), grad_a_v = random_values(e * kRank * kWidth, 11);
    grad_b_q = random_values(e * kQ * kRank, 12), grad_b_v = random_values(e * kV * kRank, 13);
    q_low.assign(static_cast<std::size_t>(e * kTokens * kRank), 99);
    v_low = q_low;
    const Values dense = random_values(kTokens * e, 15);
    for (std::int64_t t = 0; t < kTokens; ++t) {
      sample.push_back(static_cast<std::uint64_t>(t / 10));
      position.push_back(static_cast<std::uint32_t>(t % 10));
      for (std::int64_t i = 0; i < e; ++i) {
        weight.push_back(e == 1    ? 1
                         : one_hot ? static_cast<float>(t / 10 % e == i)
                                   : dense[static_cast<std::size_t>(t / 10 * e + i)]);
      }
    }
  }
  LoraMixture mixture() const {
    return {{x.data(), kTokens, kWidth, kRank, 0.5f, sample.data(), position.data(), {7, 3, 2, 0.1f}}, experts, weight.data()};
  }
  LoraWeights q() const { return {a_q.data(), b_q.data(), kQ}; }
  LoraWeights v() const { return {a_v.data(), b_v.data(), kV}; }
  template <class Forward>
  void forward(Forward&& call) {
    call(mixture(), q(), v(), q_out.data(), v_out.data(), q_low.data(), v_low.data());
  }
  template <class Backward>
  void backward(Backward&& call) {
    call(mixture(), q(), v(), grad_q.data(), grad_v.data(), q_low.data(), v_low.data(), grad_a_q.data(), grad_b_q.data(),
         grad_a_v.data(), grad_b_v.data(), grad_x.data());
  }
  std::vector<const Values*> results() const {
    return {&q_out, &v_out, &q_low, &v_low, &grad_a_q, &grad_b_q, &grad_a_v, &grad_b_v, &grad_x};
  }
};

const auto run_forward = [](auto&&... arguments) { lora_mixture_forward(arguments..., 2); };
const auto run_backward = [](auto&&... arguments) { lora_mixture_backward(arguments..., 2); };

TEST(LoraMixture, MatchesTheReference) {
  for (const bool one_hot : {true, false}) {
    for (const std::int64_t experts : {1, 2, 4}) {
      Problem got(experts, one_hot), wanted = got;
      got.forward(run_forward);
      wanted.forward([](auto&&... arguments) { lora_mixture_forward_reference(arguments...); });
      got.backward(run_backward);
      wanted.backward([](auto&&... arguments) { lora_mixture_backward_reference(arguments...); });
      for (std::size_t i = 0; i < got.results().size(); ++i) expect_close(*got.results()[i], *wanted.results()[i], 16, 40);
    }
  }
}

TEST(LoraMixture, OneExpertIsLoraQvBitForBit) {
  Problem got(1, true), plain = got;
  got.forward(run_forward);
  got.backward(run_backward);
  plain.forward([](const LoraMixture& mixture, auto&&... rest) { lora_qv_forward(mixture.batch, rest..., 1); });
  plain.backward([](const LoraMixture& mixture, auto&&... rest) { lora_qv_backward(mixture.batch, rest..., 1); });
  for (std::size_t i = 0; i < got.results().size(); ++i) expect_same_bits(*got.results()[i], *plain.results()[i]);
}

TEST(LoraMixture, TokensOfWeightZeroAreLeftAlone) {
  Problem problem(2, true);
  problem.weight.assign(problem.weight.size(), 0);
  const Problem before = problem;
  problem.forward(run_forward);
  problem.backward(run_backward);
  expect_same_bits(problem.q_out, before.q_out);
  expect_same_bits(problem.grad_a_q, before.grad_a_q);
  expect_same_bits(problem.grad_x, before.grad_x);
  for (const float low : problem.q_low) EXPECT_EQ(low, 0);
}

TEST(LoraMixture, NeedsAnExpert) {
  Problem problem(1, true);
  problem.experts = 0;
  expect_check_fails([&] { problem.forward(run_forward); });
  expect_check_fails([&] { problem.forward([](auto&&... arguments) { lora_mixture_forward_reference(arguments...); }); });
}

}  // namespace
}  // namespace thinkrec::kernels
