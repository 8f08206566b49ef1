#include "kernels/embed_splice.h"

#include <gtest/gtest.h>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_close;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;
using Tokens = std::vector<std::int32_t>;

struct Shape {
  std::int64_t tokens, width, slots;
};
constexpr Shape kShapes[] = {{0, 3, 2}, {1, 1, 1}, {2, 31, 3}, {33, 33, 5}, {71, 229, 9}, {64, 2, 0}};
constexpr std::int64_t kVocab = 40;

Tokens random_tokens(std::int64_t tokens, std::int64_t slots) {
  std::mt19937 generator(5);
  Tokens token(static_cast<std::size_t>(tokens));
  for (std::int32_t& id : token) {
    id = slots > 0 && generator() % 3 == 0 ? -1 - static_cast<std::int32_t>(generator() % static_cast<unsigned>(slots))
                                           : static_cast<std::int32_t>(generator() % kVocab);
  }
  return token;
}

TEST(EmbedSplice, MatchesReference) {
  for (const auto [tokens, width, slots] : kShapes) {
    const Values embedding = random_values(kVocab * width, 1), features = random_values(slots * width, 2);
    const Values grad = random_values(tokens * width, 3);
    const Tokens token = random_tokens(tokens, slots);
    Values wanted(grad.size()), wanted_grad(features.size(), 9), first;
    embed_splice_forward_reference(embedding.data(), features.data(), token.data(), tokens, width, wanted.data());
    embed_splice_backward_reference(grad.data(), token.data(), tokens, width, slots, wanted_grad.data());
    for (const int threads : testing::kThreadCounts) {
      Values out(grad.size(), 9), grad_features(features.size(), 9);
      embed_splice_forward(embedding.data(), features.data(), token.data(), tokens, width, out.data(), threads);
      expect_same_bits(out, wanted);
      embed_splice_backward(grad.data(), token.data(), tokens, width, slots, grad_features.data(), threads);
      expect_close(grad_features, wanted_grad, 8, 1);
      if (first.empty()) first = grad_features;
      expect_same_bits(grad_features, first);
    }
  }
}

TEST(EmbedSplice, SumsInTheOrderOfTokensAndZeroesUnusedSlots) {
  const Values grad = {1e8f, 5.0f, -1e8f, 1.0f};
  const Tokens token = {-2, 7, -2, -2};
  Values grad_features = {9, 9, 9};
  embed_splice_backward(grad.data(), token.data(), 4, 1, 3, grad_features.data(), 2);
  EXPECT_EQ(grad_features, (Values{0, 1, 0}));  // (1e8 - 1e8) + 1, which no other order gives
}

TEST(EmbedSplice, RejectsBadArguments) {
  const Values grad(4);
  Values out(4);
  const Tokens token = {0, -3};
  expect_check_fails([&] { embed_splice_backward(grad.data(), token.data(), 2, 2, 2, out.data(), 1); });
  expect_check_fails([&] { embed_splice_backward_reference(grad.data(), token.data(), 2, 2, 2, out.data()); });
  const Tokens lowest = {std::numeric_limits<std::int32_t>::min()};
  expect_check_fails([&] { embed_splice_backward(grad.data(), lowest.data(), 1, 2, 2, out.data(), 1); });
  expect_check_fails([&] { embed_splice_backward(grad.data(), token.data(), -1, 2, 2, out.data(), 1); });
  expect_check_fails([&] { embed_splice_backward(grad.data(), token.data(), 1, 0, 2, out.data(), 1); });
  expect_check_fails([&] { embed_splice_backward(grad.data(), token.data(), 1, 2, -1, out.data(), 1); });
  expect_check_fails([&] { embed_splice_backward(grad.data(), token.data(), 1, 2, 2, out.data(), 0); });
  expect_check_fails([&] { embed_splice_backward_reference(grad.data(), token.data(), 1, 0, 2, out.data()); });
  expect_check_fails([&] { embed_splice_forward(grad.data(), grad.data(), token.data(), -1, 2, out.data(), 1); });
  expect_check_fails([&] { embed_splice_forward(grad.data(), grad.data(), token.data(), 1, 0, out.data(), 1); });
  expect_check_fails([&] { embed_splice_forward(grad.data(), grad.data(), token.data(), 1, 2, out.data(), 0); });
  expect_check_fails([&] { embed_splice_forward_reference(grad.data(), grad.data(), token.data(), 1, 0, out.data()); });
}

}  // namespace
}  // namespace thinkrec::kernels
