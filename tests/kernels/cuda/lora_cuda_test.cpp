// kernels/cuda/lora_forward.cu and lora_backward.cu, in the emulator or on a GPU, against the references of kernels/lora_mixture.h.

#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/lora_mixture.h"
#include "kernels/lora_qv.h"
#include "kernels/cuda/cuda_testing.h"

namespace thinkrec::kernels {
namespace {

using namespace testing;
using Values = std::vector<float>;

struct Shape {
  std::int64_t tokens, width, rank, q_out, v_out, experts;
};
// Tails of every tile: tokens of a warp and a block, chunks of 256 features and outputs, ranks of every register tile, empty batches.
constexpr Shape kShapes[] = {{0, 5, 4, 3, 4, 1},       {1, 1, 4, 1, 1, 1},      {2, 31, 5, 31, 2, 1},    {31, 33, 8, 33, 31, 1},
                             {71, 229, 8, 229, 71, 1}, {33, 260, 9, 40, 8, 1},  {35, 71, 16, 48, 16, 1}, {9, 33, 17, 260, 20, 1},
                             {10, 64, 32, 32, 12, 1},  {13, 257, 33, 31, 8, 1}, {11, 64, 64, 36, 8, 1},  {70, 68, 8, 36, 12, 3},
                             {40, 31, 20, 33, 5, 2},   {261, 12, 4, 8, 4, 2}};

enum class Weights { kOneHot, kDense };

// A batch with all it points to, and room for every result.
template <class T>
struct Problem {
  Shape shape;
  std::vector<T> x, q_out, v_out, grad_q, grad_v, grad_x;
  Values a_q, b_q, a_v, b_v, weight, q_low, v_low, grad_a_q, grad_b_q, grad_a_v, grad_b_v;
  std::vector<std::uint64_t> sample;
  std::vector<std::uint32_t> position;
  DropoutKey key{7, 3, 2, 0};

  Problem(const Shape& s, float probability, Weights kind) : shape(s) {
    key.probability = probability;
    const std::int64_t e = s.experts;
    x = random_activations<T>(s.tokens * s.width, 1);
    a_q = random_values(e * s.rank * s.width, 2, 1 / std::sqrt(s.width));
    a_v = random_values(e * s.rank * s.width, 3, 1 / std::sqrt(s.width));
    b_q = random_values(e * s.q_out * s.rank, 4);
    b_v = random_values(e * s.v_out * s.rank, 5);
    q_out = random_activations<T>(s.tokens * s.q_out, 6);
    v_out = random_activations<T>(s.tokens * s.v_out, 7);
    grad_q = random_activations<T>(s.tokens * s.q_out, 8);
    grad_v = random_activations<T>(s.tokens * s.v_out, 9);
    grad_a_q = random_values(e * s.rank * s.width, 10);
    grad_a_v = random_values(e * s.rank * s.width, 11);
    grad_b_q = random_values(e * s.q_out * s.rank, 12);
    grad_b_v = random_values(e * s.v_out * s.rank, 13);
    grad_x = random_activations<T>(s.tokens * s.width, 14);
    q_low.assign(static_cast<std::size_t>(e * s.tokens * s.rank), 99.0f);
    v_low = q_low;
    const Values random = random_values(s.tokens * e, 15);
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      sample.push_back(static_cast<std::uint64_t>(t / 13) + 100);
      position.push_back(static_cast<std::uint32_t>(t % 13));
      for (std::int64_t i = 0; i < e; ++i) {
        // Rows of 7 tokens for one-hot weights; dense ones differ by row, with a zero here and there.
        const bool own = (t / 37) % e == i;
        const float dense = (t / 13 + i) % 5 == 4 ? 0.0f : random[static_cast<std::size_t>(t / 13 * e + i)];
        weight.push_back(e == 1 ? 1.0f : kind == Weights::kOneHot ? static_cast<float>(own) : dense);
      }
    }
  }

  cuda::LoraInput<T> input() const {
    return {x.data(),      shape.tokens,    shape.width, shape.rank,    2.0f,
            sample.data(), position.data(), key,         shape.experts, shape.experts == 1 ? nullptr : weight.data()};
  }
  cuda::LoraProjection q() const { return {a_q.data(), b_q.data(), shape.q_out}; }
  cuda::LoraProjection v() const { return {a_v.data(), b_v.data(), shape.v_out}; }
  void forward() { cuda::lora_forward(input(), q(), v(), q_out.data(), v_out.data(), q_low.data(), v_low.data(), nullptr); }
  void backward(bool with_x = true) {
    // NaN: what is read must have been written.
    Values workspace(static_cast<std::size_t>(cuda::lora_backward_workspace(shape.tokens, shape.width, shape.rank, shape.experts,
                                                                            shape.q_out, shape.v_out)),
                     std::numeric_limits<float>::quiet_NaN());
    cuda::lora_backward(input(), q(), v(), grad_q.data(), grad_v.data(), q_low.data(), v_low.data(), grad_a_q.data(),
                        grad_b_q.data(), grad_a_v.data(), grad_b_v.data(), with_x ? grad_x.data() : nullptr, workspace.data(),
                        nullptr);
  }
};

// The same by the references, on the values that T holds.
template <class T>
struct Wanted {
  Values x, q_out, v_out, grad_q, grad_v, grad_x, q_low, v_low, grad_a_q, grad_b_q, grad_a_v, grad_b_v;
  LoraMixture mixture;
  LoraWeights q, v;

  explicit Wanted(const Problem<T>& p)
      : x(floats(p.x)),
        q_out(floats(p.q_out)),
        v_out(floats(p.v_out)),
        grad_q(floats(p.grad_q)),
        grad_v(floats(p.grad_v)),
        grad_x(floats(p.grad_x)),
        q_low(p.q_low),
        v_low(p.v_low),
        grad_a_q(p.grad_a_q),
        grad_b_q(p.grad_b_q),
        grad_a_v(p.grad_a_v),
        grad_b_v(p.grad_b_v) {
    const Shape& s = p.shape;
    mixture = {
        {x.data(), s.tokens, s.width, s.rank, 2.0f, p.sample.data(), p.position.data(), p.key}, s.experts, p.weight.data()};
    q = {p.a_q.data(), p.b_q.data(), s.q_out};
    v = {p.a_v.data(), p.b_v.data(), s.v_out};
  }
  void forward() { lora_mixture_forward_reference(mixture, q, v, q_out.data(), v_out.data(), q_low.data(), v_low.data()); }
  void backward() {
    lora_mixture_backward_reference(mixture, q, v, grad_q.data(), grad_v.data(), q_low.data(), v_low.data(), grad_a_q.data(),
                                    grad_b_q.data(), grad_a_v.data(), grad_b_v.data(), grad_x.data());
  }
};

template <class T>
void check(const Shape& shape, float probability, Weights kind) {
  SCOPED_TRACE(fmt::format("tokens {} width {} rank {} out {} {} experts {} p {}", shape.tokens, shape.width, shape.rank,
                           shape.q_out, shape.v_out, shape.experts, probability));
  const Problem<T> start(shape, probability, kind);
  Wanted<T> wanted(start);
  wanted.forward();
  wanted.backward();
  std::vector<std::uint8_t> first;
  const int additions = kind == Weights::kDense ? static_cast<int>(shape.experts) : 1;  // each rounds the activation
  for (const unsigned seed : kSeeds) {
    simt::set_seed(seed);
    Problem<T> got = start;
    got.forward();
    const double rank = static_cast<double>(shape.rank), tokens = static_cast<double>(shape.tokens);
    const double outs = static_cast<double>(std::max(shape.q_out, shape.v_out)), experts = static_cast<double>(shape.experts);
    expect_close(got.q_low, wanted.q_low, 8, 2);
    expect_close(got.v_low, wanted.v_low, 8, 2);
    expect_activations_close(got.q_out, wanted.q_out, 8, 4 * std::sqrt(rank * experts), additions);
    expect_activations_close(got.v_out, wanted.v_out, 8, 4 * std::sqrt(rank * experts), additions);
    got.backward();
    expect_close(got.grad_a_q, wanted.grad_a_q, 16, 8 * std::sqrt(tokens * outs));
    expect_close(got.grad_a_v, wanted.grad_a_v, 16, 8 * std::sqrt(tokens * outs));
    expect_close(got.grad_b_q, wanted.grad_b_q, 16, 8 * std::sqrt(tokens));
    expect_close(got.grad_b_v, wanted.grad_b_v, 16, 8 * std::sqrt(tokens));
    const int feature_tiles = static_cast<int>((shape.rank + 15) / 16);  // of ranks; each adds to grad_x
    expect_activations_close(got.grad_x, wanted.grad_x, 16, 8 * std::sqrt(rank * outs * experts), additions * feature_tiles);
    if (::testing::Test::HasFatalFailure()) return;
    std::vector<std::uint8_t> bits = bits_of(got.grad_x);
    for (const auto& more : {bits_of(got.q_out), bits_of(got.v_out), bits_of(got.grad_a_q), bits_of(got.grad_b_v)}) {
      bits.insert(bits.end(), more.begin(), more.end());
    }
    if (first.empty()) first = bits;
    ASSERT_TRUE(bits == first) << "the order of lanes and blocks changes the bits";
  }
}

TEST(LoraCuda, MatchesTheReference) {
  for (const Shape& shape : kShapes) check<float>(shape, 0.05f, Weights::kOneHot);
}

TEST(LoraCuda, MatchesTheReferenceInBfloat16) {
  for (const Shape& shape : kShapes) check<Bfloat16>(shape, 0.05f, Weights::kOneHot);
}

TEST(LoraCuda, WithoutDropoutAndWithMuch) {
  check<float>({71, 229, 8, 229, 71, 1}, 0, Weights::kOneHot);
  check<float>({33, 71, 12, 40, 8, 1}, 0.5f, Weights::kOneHot);
}

TEST(LoraCuda, DenseMixtures) {
  check<float>({70, 68, 8, 36, 12, 3}, 0.05f, Weights::kDense);
  check<Bfloat16>({40, 31, 20, 33, 5, 4}, 0, Weights::kDense);
}

TEST(LoraCuda, NullResultsAreLeftOut) {
  Problem<float> full({37, 33, 5, 9, 6, 1}, 0.1f, Weights::kOneHot), lean = full;
  full.forward();
  cuda::lora_forward(lean.input(), lean.q(), lean.v(), lean.q_out.data(), lean.v_out.data(), nullptr, nullptr, nullptr);
  expect_same_bits(lean.q_out, full.q_out);
  lean.q_low = full.q_low;
  lean.v_low = full.v_low;
  const Values before = lean.grad_x;
  full.backward();
  lean.backward(false);
  expect_same_bits(lean.grad_a_q, full.grad_a_q);
  expect_same_bits(lean.grad_b_v, full.grad_b_v);
  expect_same_bits(lean.grad_x, before);
}

TEST(LoraCuda, RefusesWhatItCannotDo) {
  Problem<float> problem({3, 4, 4, 4, 4, 1}, 0.1f, Weights::kOneHot);
  const auto run = [&](auto&& change) {
    auto input = problem.input();
    change(input);
    expect_check_fails([&] {
      cuda::lora_forward(input, problem.q(), problem.v(), problem.q_out.data(), problem.v_out.data(), nullptr, nullptr, nullptr);
    });
  };
  run([](auto& input) { input.rank = 65; });
  run([](auto& input) { input.rank = 0; });
  run([](auto& input) { input.width = 0; });
  run([](auto& input) { input.tokens = -1; });
  run([](auto& input) { input.experts = 2; });
  run([](auto& input) { input.dropout.probability = 1; });
  run([](auto& input) { input.sample = nullptr; });
}

}  // namespace
}  // namespace thinkrec::kernels
