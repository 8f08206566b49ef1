// The other .cu files, in the emulator or on a GPU, against the references of their headers.

#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/embed_splice.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/cuda/cuda_testing.h"
#include "kernels/swiglu.h"
#include "kernels/yes_bce.h"

namespace thinkrec::kernels {
namespace {

using namespace testing;
using Values = std::vector<float>;

template <class T>
class OpsCuda : public ::testing::Test {};
using Types = ::testing::Types<float, Bfloat16>;
TYPED_TEST_SUITE(OpsCuda, Types);

struct Shape {
  std::int64_t rows, width;
};
constexpr Shape kShapes[] = {{0, 7}, {1, 1}, {2, 4}, {1, 31}, {31, 2}, {33, 33}, {3, 1028}, {71, 229}, {5, 1031}};

TYPED_TEST(OpsCuda, YesBce) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(fmt::format("{} x {}", s.rows, s.width));
    const auto hidden = random_activations<T>(s.rows * s.width, 1),
               yes = random_activations<T>(s.width, 2, 1 / std::sqrt(s.width));
    Values label, weight = random_values(s.rows, 3);
    for (std::int64_t i = 0; i < s.rows; ++i) {
      label.push_back(static_cast<float>(i % 2));
      if (i % 4 == 3)
        weight[static_cast<std::size_t>(i)] = 0, label.back() = std::numeric_limits<float>::quiet_NaN();  // not read
    }
    const auto rows = static_cast<std::size_t>(s.rows);
    Values logit(rows), loss(rows), grad(hidden.size());
    const Values h = floats(hidden), y = floats(yes);
    yes_bce_reference(h.data(), y.data(), label.data(), weight.data(), s.rows, s.width, logit.data(), loss.data(), grad.data());
    for (const unsigned seed : kSeeds) {
      simt::set_seed(seed);
      Values got_logit(rows), got_loss(rows);
      std::vector<T> got_grad(hidden.size());
      cuda::yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), s.rows, s.width, got_logit.data(), got_loss.data(),
                    got_grad.data(), nullptr);
      expect_close(got_logit, logit, 16, 2);
      expect_close(got_loss, loss, 16, 1);
      expect_activations_close(got_grad, grad, 16, 0.5);
      cuda::yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), s.rows, s.width, got_logit.data(), got_loss.data(),
                    static_cast<T*>(nullptr), nullptr);
    }
  }
}

TEST(OpsCuda, YesBceIsStableAtAnyLogit) {
  const Values hidden = {100, -100, 30, -30, 0, 100, -100}, yes = {1}, label = {1, 0, 1, 0, 1, 0, 1}, weight(7, 1.0f);
  Values logit(7), loss(7), grad(7), wanted_logit(7), wanted_loss(7), wanted_grad(7);
  cuda::yes_bce(hidden.data(), yes.data(), label.data(), weight.data(), 7, 1, logit.data(), loss.data(), grad.data(), nullptr);
  yes_bce_reference(hidden.data(), yes.data(), label.data(), weight.data(), 7, 1, wanted_logit.data(), wanted_loss.data(),
                    wanted_grad.data());
  expect_close(loss, wanted_loss, 8);
  expect_close(grad, wanted_grad, 8);
  EXPECT_GT(loss[0], 0);
  EXPECT_EQ(loss[5], 100);
}

TYPED_TEST(OpsCuda, SoftmaxCrossEntropy) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(fmt::format("{} x {}", s.rows, s.width));
    const auto logits = random_activations<T>(s.rows * s.width, 1, 4);
    Values weight = random_values(s.rows, 2);
    std::vector<std::int64_t> target;
    for (std::int64_t i = 0; i < s.rows; ++i) {
      target.push_back(i * 37 % s.width);
      if (i % 3 == 1) weight[static_cast<std::size_t>(i)] = 0, target.back() = -100;  // not read
    }
    Values wanted = floats(logits), loss(static_cast<std::size_t>(s.rows));
    softmax_cross_entropy_reference(wanted.data(), target.data(), weight.data(), s.rows, s.width, loss.data(), true);
    for (const unsigned seed : kSeeds) {
      simt::set_seed(seed);
      auto got = logits;
      Values got_loss(loss.size());
      cuda::softmax_cross_entropy(got.data(), target.data(), weight.data(), s.rows, s.width, got_loss.data(), false, nullptr);
      EXPECT_EQ(bits_of(got), bits_of(logits));
      expect_close(got_loss, loss, 16, 4);
      cuda::softmax_cross_entropy(got.data(), target.data(), weight.data(), s.rows, s.width, got_loss.data(), true, nullptr);
      expect_close(got_loss, loss, 16, 4);
      expect_activations_close(got, wanted, 16, 1);
    }
  }
}

TEST(OpsCuda, SoftmaxCrossEntropyAtItsEdges) {
  const float infinity = std::numeric_limits<float>::infinity();
  Values logits = {-infinity, 3, 1e30f, -1e30f, 0, 0}, loss(3), weight = {1, 1, 1};
  std::vector<std::int64_t> target = {1, 0, 2};
  cuda::softmax_cross_entropy(logits.data(), target.data(), weight.data(), 3, 2, loss.data(), true, nullptr);
  EXPECT_EQ(loss[0], 0);
  EXPECT_EQ(loss[1], 0);
  EXPECT_TRUE(std::isnan(loss[2]));  // a target outside the vocabulary shows
  EXPECT_EQ(logits[0], 0);
}

TYPED_TEST(OpsCuda, RmsNorm) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    for (const bool with_residual : {false, true}) {
      SCOPED_TRACE(fmt::format("{} x {}, residual {}", s.rows, s.width, with_residual));
      const std::int64_t n = s.rows * s.width;
      const auto x = random_activations<T>(n, 1), residual = random_activations<T>(n, 2),
                 weight = random_activations<T>(s.width, 3);
      const auto grad_out = random_activations<T>(n, 4), grad_sum = random_activations<T>(n, 5);
      const auto size = static_cast<std::size_t>(n), rows = static_cast<std::size_t>(s.rows);
      // The sum as the kernel rounds it, so that the rest starts from the same numbers.
      Values sum = floats(x);
      for (std::size_t i = 0; with_residual && i < size; ++i) sum[i] += to_float(residual[i]);
      const auto stored = rounded<T>(sum);
      sum = floats(stored);
      const Values w = floats(weight);
      Values out(size), inverse(rows), grad(size);
      rms_norm_forward_reference(sum.data(), nullptr, w.data(), 1e-5f, s.rows, s.width, nullptr, out.data(), inverse.data());
      const Values g = floats(grad_out), more = floats(grad_sum);
      rms_norm_backward_reference(g.data(), sum.data(), w.data(), inverse.data(), s.rows, s.width,
                                  with_residual ? more.data() : nullptr, grad.data());
      for (const unsigned seed : kSeeds) {
        simt::set_seed(seed);
        std::vector<T> got_sum(size), got_out(size), got_grad(size);
        Values got_inverse(rows);
        cuda::rms_norm_forward(x.data(), with_residual ? residual.data() : nullptr, weight.data(), 1e-5f, s.rows, s.width,
                               with_residual ? got_sum.data() : nullptr, got_out.data(), got_inverse.data(), nullptr);
        EXPECT_EQ(bits_of(got_sum), with_residual ? bits_of(stored) : std::vector<std::uint8_t>(size * sizeof(T)));
        expect_close(got_inverse, inverse, 8);
        expect_activations_close(got_out, out, 8, 1);
        cuda::rms_norm_backward(grad_out.data(), stored.data(), weight.data(), inverse.data(), s.rows, s.width,
                                with_residual ? grad_sum.data() : nullptr, got_grad.data(), nullptr);
        double largest = 1;
        for (const float i : inverse) largest = std::max(largest, static_cast<double>(i));
        expect_activations_close(got_grad, grad, 32, 4 * largest);
      }
    }
  }
}

TYPED_TEST(OpsCuda, Rope) {
  using T = TypeParam;
  const RopeTable table = make_rope_table(64, 6, 1e4, {});
  for (const std::int64_t tokens : {0, 1, 2, 31, 71}) {
    const auto x = random_activations<T>(tokens * 5 * 6, 1);
    std::vector<std::uint32_t> position;
    for (std::int64_t t = 0; t < tokens; ++t) position.push_back(static_cast<std::uint32_t>(t * 7 % 64));
    for (const bool backward : {false, true}) {
      Values wanted = floats(x);
      (backward ? rope_backward_reference : rope_forward_reference)(wanted.data(), tokens, 5, 6, position.data(),
                                                                    table.cos.data(), table.sin.data());
      auto got = x;
      cuda::rope(got.data(), tokens, 5, 6, position.data(), table.cos.data(), table.sin.data(), backward, nullptr);
      expect_activations_close(got, wanted, 4, 1);
    }
  }
}

TYPED_TEST(OpsCuda, Swiglu) {
  using T = TypeParam;
  for (const std::int64_t n : {0, 1, 2, 31, 33, 1028, 71 * 229}) {
    const auto gate = random_activations<T>(n, 1, 3), up = random_activations<T>(n, 2), grad = random_activations<T>(n, 3);
    const auto size = static_cast<std::size_t>(n);
    const Values g = floats(gate), u = floats(up), d = floats(grad);
    Values out(size), to_gate(size), to_up(size);
    swiglu_forward_reference(g.data(), u.data(), n, out.data());
    swiglu_backward_reference(d.data(), g.data(), u.data(), n, to_gate.data(), to_up.data());
    std::vector<T> got(size), got_gate(size), got_up(size);
    cuda::swiglu_forward(gate.data(), up.data(), n, got.data(), nullptr);
    cuda::swiglu_backward(grad.data(), gate.data(), up.data(), n, got_gate.data(), got_up.data(), nullptr);
    expect_activations_close(got, out, 8, 0.1);
    expect_activations_close(got_gate, to_gate, 8, 0.1);
    expect_activations_close(got_up, to_up, 8, 0.1);
  }
}

TYPED_TEST(OpsCuda, EmbedSplice) {
  using T = TypeParam;
  for (const Shape& s : kShapes) {
    const std::int64_t vocab = 11, slots = 3;
    const auto embedding = random_activations<T>(vocab * s.width, 1), grad = random_activations<T>(s.rows * s.width, 3);
    const Values features = floats(random_activations<T>(slots * s.width, 2));
    std::vector<std::int32_t> token;
    for (std::int64_t t = 0; t < s.rows; ++t)
      token.push_back(static_cast<std::int32_t>(t % 5 == 2 ? -1 - t % 2 : t % vocab));  // slot 2 unused
    Values wanted(static_cast<std::size_t>(s.rows * s.width)), wanted_grad(features.size());
    const Values e = floats(embedding), g = floats(grad);
    embed_splice_forward_reference(e.data(), features.data(), token.data(), s.rows, s.width, wanted.data());
    embed_splice_backward_reference(g.data(), token.data(), s.rows, s.width, slots, wanted_grad.data());
    std::vector<T> got(wanted.size());
    Values got_grad(features.size(), 9);
    cuda::embed_splice_forward(embedding.data(), features.data(), token.data(), s.rows, s.width, got.data(), nullptr);
    cuda::embed_splice_backward(grad.data(), token.data(), s.rows, s.width, slots, got_grad.data(), nullptr);
    expect_same_bits(floats(got), wanted);
    expect_close(got_grad, wanted_grad, 8, 4);
  }
}

struct Optimized {
  std::vector<Values> parameter, gradient, first, second;
  std::vector<AdamwTensor> tensors;
  std::int64_t largest = 0;
  explicit Optimized(const std::vector<std::int64_t>& sizes) {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const auto seed = static_cast<unsigned>(10 * i);
      parameter.push_back(random_values(sizes[i], seed + 1));
      gradient.push_back(random_values(sizes[i], seed + 2));
      first.push_back(random_values(sizes[i], seed + 3));
      second.push_back(random_values(sizes[i], seed + 4));
      for (float& v : second.back()) v *= v;
      largest = std::max(largest, sizes[i]);
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      tensors.push_back(
          {parameter[i].data(), gradient[i].data(), first[i].data(), second[i].data(), sizes[i], i % 2 == 0 ? 1e-3f : 0.0f});
    }
  }
  GradientNorm norm() {
    std::vector<double> workspace(
        static_cast<std::size_t>(cuda::gradient_norm_workspace(static_cast<int>(tensors.size()), largest))),
        out(2);
    cuda::gradient_norm(tensors.data(), static_cast<int>(tensors.size()), largest, workspace.data(), out.data(), nullptr);
    return {out[0], out[1] != 0};
  }
};

TEST(OpsCuda, Adamw) {
  const std::vector<std::int64_t> sizes = {1, 0, 31, 1024, 1025, 71 * 29};
  const AdamwStep step{1e-2, 0.9, 0.999, 1e-8, 3, 0.5};
  Optimized wanted(sizes);
  adamw_reference(wanted.tensors, step);
  for (const unsigned seed : kSeeds) {
    simt::set_seed(seed);
    Optimized got(sizes);
    cuda::adamw(got.tensors.data(), static_cast<int>(got.tensors.size()), got.largest, step, nullptr);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      expect_close(got.parameter[i], wanted.parameter[i], 4, 1);
      expect_close(got.first[i], wanted.first[i], 4, 1);
      expect_close(got.second[i], wanted.second[i], 4, 1);
    }
  }
  cuda::adamw(nullptr, 0, 0, step, nullptr);
  expect_check_fails([&] { cuda::adamw(nullptr, 0, 0, {1e-2, 0.9, 0.999, 1e-8, 0, 1}, nullptr); });
  expect_check_fails([&] { cuda::adamw(nullptr, 0, 0, {1e-2, 1.0, 0.999, 1e-8, 1, 1}, nullptr); });
}

TEST(OpsCuda, GradientNorm) {
  Optimized all({1, 0, 31, 1024, 1025, 71 * 29});
  const GradientNorm wanted = gradient_norm_reference(all.tensors);
  for (const unsigned seed : kSeeds) {
    simt::set_seed(seed);
    const GradientNorm got = all.norm();
    EXPECT_NEAR(got.norm, wanted.norm, 1e-12 * wanted.norm);
    EXPECT_TRUE(got.finite);
  }
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    all.gradient[5].back() = bad;
    EXPECT_FALSE(all.norm().finite);
  }
  Optimized none({});
  EXPECT_EQ(none.norm().norm, 0);
  EXPECT_TRUE(none.norm().finite);
}

}  // namespace
}  // namespace thinkrec::kernels
