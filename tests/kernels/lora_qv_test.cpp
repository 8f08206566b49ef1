#include "kernels/lora_qv.h"

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
  std::int64_t tokens, width, rank, q_out, v_out;
};
constexpr Shape kShapes[] = {{0, 5, 2, 3, 4},       {1, 1, 1, 1, 1},     {2, 2, 3, 31, 2},       {31, 33, 4, 33, 31},
                             {71, 229, 8, 229, 71}, {33, 71, 64, 40, 8}, {300, 128, 16, 48, 16}, {5, 576, 8, 576, 192}};

// A batch with all it points to, and room for every result.
struct Problem {
  Shape shape;
  Values x, a_q, b_q, a_v, b_v, q_out, v_out, q_low, v_low, grad_q, grad_v, grad_a_q, grad_b_q, grad_a_v, grad_b_v, grad_x;
  std::vector<std::uint64_t> sample;
  std::vector<std::uint32_t> position;
  DropoutKey key{7, 3, 2, 0};

  Problem(const Shape& s, float probability) : shape(s) {
    key.probability = probability;
    x = random_values(s.tokens * s.width, 1);
    a_q = random_values(s.rank * s.width, 2, 1 / std::sqrt(s.width));
    a_v = random_values(s.rank * s.width, 3, 1 / std::sqrt(s.width));
    b_q = random_values(s.q_out * s.rank, 4);
    b_v = random_values(s.v_out * s.rank, 5);
    q_out = random_values(s.tokens * s.q_out, 6);
    v_out = random_values(s.tokens * s.v_out, 7);
    grad_q = random_values(s.tokens * s.q_out, 8);
    grad_v = random_values(s.tokens * s.v_out, 9);
    grad_a_q = random_values(s.rank * s.width, 10);
    grad_a_v = random_values(s.rank * s.width, 11);
    grad_b_q = random_values(s.q_out * s.rank, 12);
    grad_b_v = random_values(s.v_out * s.rank, 13);
    grad_x = random_values(s.tokens * s.width, 14);
    q_low.resize(static_cast<std::size_t>(s.tokens * s.rank));
    v_low.resize(q_low.size());
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      sample.push_back(static_cast<std::uint64_t>(t / 13) + 100);
      position.push_back(static_cast<std::uint32_t>(t % 13));
    }
  }
  LoraBatch batch() const { return {x.data(), shape.tokens, shape.width, shape.rank, 2.0f, sample.data(), position.data(), key}; }
  LoraWeights q() const { return {a_q.data(), b_q.data(), shape.q_out}; }
  LoraWeights v() const { return {a_v.data(), b_v.data(), shape.v_out}; }
  void forward(int threads) {
    if (threads == 0) {
      lora_qv_forward_reference(batch(), q(), v(), q_out.data(), v_out.data(), q_low.data(), v_low.data());
    } else {
      lora_qv_forward(batch(), q(), v(), q_out.data(), v_out.data(), q_low.data(), v_low.data(), threads);
    }
  }
  void backward(int threads, bool with_x = true) {
    float* to = with_x ? grad_x.data() : nullptr;
    if (threads == 0) {
      lora_qv_backward_reference(batch(), q(), v(), grad_q.data(), grad_v.data(), q_low.data(), v_low.data(), grad_a_q.data(),
                                 grad_b_q.data(), grad_a_v.data(), grad_b_v.data(), to);
    } else {
      lora_qv_backward(batch(), q(), v(), grad_q.data(), grad_v.data(), q_low.data(), v_low.data(), grad_a_q.data(),
                       grad_b_q.data(), grad_a_v.data(), grad_b_v.data(), to, threads);
    }
  }
  std::vector<const Values*> results() const {
    return {&q_out, &v_out, &q_low, &v_low, &grad_a_q, &grad_b_q, &grad_a_v, &grad_b_v, &grad_x};
  }
};

TEST(LoraQv, MatchesReferenceForAnyNumberOfThreads) {
  for (const Shape& shape : kShapes) {
    for (const float p : {0.0f, 0.05f, 0.5f}) {
      SCOPED_TRACE(fmt::format("tokens {} width {} rank {} p {}", shape.tokens, shape.width, shape.rank, p));
      Problem wanted(shape, p);
      wanted.forward(0);
      wanted.backward(0);
      Problem first(shape, p);
      first.forward(1);
      first.q_low = wanted.q_low;  // so that the backward passes start from the same numbers
      first.v_low = wanted.v_low;
      first.backward(1);
      // Each result sums n products of size about 1 (times scale 2); rounding grows no faster than with the sums' own size.
      const double rank = static_cast<double>(shape.rank), tokens = static_cast<double>(shape.tokens);
      const double outs = static_cast<double>(std::max(shape.q_out, shape.v_out));
      expect_close(first.q_out, wanted.q_out, 8, 4 * std::sqrt(rank));
      expect_close(first.v_out, wanted.v_out, 8, 4 * std::sqrt(rank));
      expect_close(first.grad_a_q, wanted.grad_a_q, 8, 8 * std::sqrt(tokens * outs));
      expect_close(first.grad_a_v, wanted.grad_a_v, 8, 8 * std::sqrt(tokens * outs));
      expect_close(first.grad_b_q, wanted.grad_b_q, 8, 8 * std::sqrt(tokens));
      expect_close(first.grad_b_v, wanted.grad_b_v, 8, 8 * std::sqrt(tokens));
      expect_close(first.grad_x, wanted.grad_x, 8, 8 * std::sqrt(rank * outs));
      for (const int threads : {2, 3, 7}) {
        Problem other(shape, p);
        other.forward(threads);
        other.q_low = wanted.q_low;
        other.v_low = wanted.v_low;
        other.backward(threads);
        for (std::size_t i = 0; i < other.results().size(); ++i) expect_same_bits(*other.results()[i], *first.results()[i]);
      }
    }
  }
}

TEST(LoraQv, LowMatchesReference) {
  for (const Shape& shape : kShapes) {
    Problem wanted(shape, 0.1f), got(shape, 0.1f);
    wanted.forward(0);
    got.forward(2);
    expect_close(got.q_low, wanted.q_low, 8, 2);
    expect_close(got.v_low, wanted.v_low, 8, 2);
  }
}

TEST(LoraQv, NullResultsAreLeftOut) {
  Problem full({37, 33, 5, 9, 6}, 0.1f), lean = full;
  full.forward(2);
  lora_qv_forward(lean.batch(), lean.q(), lean.v(), lean.q_out.data(), lean.v_out.data(), nullptr, nullptr, 2);
  expect_same_bits(lean.q_out, full.q_out);
  expect_same_bits(lean.v_out, full.v_out);
  lean.q_low = full.q_low;
  lean.v_low = full.v_low;
  const Values before = lean.grad_x;
  full.backward(2);
  lean.backward(2, false);
  expect_same_bits(lean.grad_a_q, full.grad_a_q);
  expect_same_bits(lean.grad_b_v, full.grad_b_v);
  expect_same_bits(lean.grad_x, before);
}

TEST(LoraQv, WithoutDropoutNoSamplesAreNeeded) {
  Problem with({9, 33, 4, 5, 6}, 0), without = with;
  with.forward(1);
  LoraBatch batch = without.batch();
  batch.sample = nullptr;
  batch.position = nullptr;
  lora_qv_forward(batch, without.q(), without.v(), without.q_out.data(), without.v_out.data(), nullptr, nullptr, 1);
  expect_same_bits(without.q_out, with.q_out);
}

TEST(LoraQv, PackedOrAloneGivesTheSame) {
  const Shape shape = {39, 229, 8, 33, 17};  // rows of 13 tokens, so that rows start anywhere in a group of tokens
  Problem packed(shape, 0.2f);
  const Problem before = packed;
  packed.forward(2);
  for (std::int64_t row = 0; row < 3; ++row) {
    const std::int64_t t = row * 13;
    LoraBatch alone = before.batch();
    alone.x += t * shape.width;
    alone.tokens = 13;
    alone.sample += t;
    alone.position += t;
    Values q_out(before.q_out.begin() + t * shape.q_out, before.q_out.begin() + (t + 13) * shape.q_out);
    Values v_out(before.v_out.begin() + t * shape.v_out, before.v_out.begin() + (t + 13) * shape.v_out);
    lora_qv_forward(alone, before.q(), before.v(), q_out.data(), v_out.data(), nullptr, nullptr, 1);
    expect_same_bits(q_out, {packed.q_out.begin() + t * shape.q_out, packed.q_out.begin() + (t + 13) * shape.q_out});
    expect_same_bits(v_out, {packed.v_out.begin() + t * shape.v_out, packed.v_out.begin() + (t + 13) * shape.v_out});
  }
}

// The outputs are linear in x, in each A and in each B, so differences over a whole unit are exact up to rounding.
TEST(LoraQv, GradientByDifferences) {
  Problem problem({6, 5, 3, 4, 2}, 0.3f);
  for (Values* zero : {&problem.grad_a_q, &problem.grad_b_q, &problem.grad_a_v, &problem.grad_b_v, &problem.grad_x}) {
    std::fill(zero->begin(), zero->end(), 0.0f);
  }
  const auto value = [&] {
    std::fill(problem.q_out.begin(), problem.q_out.end(), 0.0f);
    std::fill(problem.v_out.begin(), problem.v_out.end(), 0.0f);
    problem.forward(0);
    double sum = 0;
    for (std::size_t i = 0; i < problem.q_out.size(); ++i) sum += static_cast<double>(problem.q_out[i]) * problem.grad_q[i];
    for (std::size_t i = 0; i < problem.v_out.size(); ++i) sum += static_cast<double>(problem.v_out[i]) * problem.grad_v[i];
    return sum;
  };
  value();
  problem.backward(1);
  const auto expect_gradient = [&](Values& input, const Values& gradient) {
    for (std::size_t i = 0; i < input.size(); ++i) {
      const float kept = input[i];
      input[i] = kept + 0.5f;
      const double above = value();
      input[i] = kept - 0.5f;
      const double below = value();
      input[i] = kept;
      EXPECT_NEAR(gradient[i], above - below, 2e-5) << i;
    }
  };
  expect_gradient(problem.x, problem.grad_x);
  expect_gradient(problem.a_q, problem.grad_a_q);
  expect_gradient(problem.a_v, problem.grad_a_v);
  expect_gradient(problem.b_q, problem.grad_b_q);
  expect_gradient(problem.b_v, problem.grad_b_v);
}

TEST(LoraQv, RejectsBadArguments) {
  Problem good({3, 4, 2, 5, 6}, 0.1f);
  const auto expect_fails = [&](auto&& change) {
    LoraBatch batch = good.batch();
    LoraWeights q = good.q(), v = good.v();
    int threads = 1;
    change(batch, q, v, threads);
    const Problem before = good;
    expect_check_fails([&] {
      lora_qv_forward(batch, q, v, good.q_out.data(), good.v_out.data(), good.q_low.data(), good.v_low.data(), threads);
    });
    expect_check_fails([&] {
      lora_qv_backward(batch, q, v, good.grad_q.data(), good.grad_v.data(), good.q_low.data(), good.v_low.data(),
                       good.grad_a_q.data(), good.grad_b_q.data(), good.grad_a_v.data(), good.grad_b_v.data(), good.grad_x.data(),
                       threads);
    });
    for (std::size_t i = 0; i < good.results().size(); ++i) expect_same_bits(*good.results()[i], *before.results()[i]);
  };
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.rank = 0; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.rank = kMaxLoraRank + 1; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.tokens = -1; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.width = 0; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.dropout.probability = 1; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.dropout.probability = -0.1f; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.sample = nullptr; });
  expect_fails([](LoraBatch& b, LoraWeights&, LoraWeights&, int&) { b.position = nullptr; });
  expect_fails([](LoraBatch&, LoraWeights& q, LoraWeights&, int&) { q.out = 0; });
  expect_fails([](LoraBatch&, LoraWeights&, LoraWeights& v, int&) { v.out = 0; });
  expect_fails([](LoraBatch&, LoraWeights&, LoraWeights&, int& threads) { threads = 0; });
  LoraBatch wide = good.batch();
  wide.rank = kMaxLoraRank + 1;
  expect_check_fails(
      [&] { lora_qv_forward_reference(wide, good.q(), good.v(), good.q_out.data(), good.v_out.data(), nullptr, nullptr); });
  wide.rank = 2;
  wide.width = 0;
  expect_check_fails(
      [&] { lora_qv_forward_reference(wide, good.q(), good.v(), good.q_out.data(), good.v_out.data(), nullptr, nullptr); });
}

}  // namespace
}  // namespace thinkrec::kernels
