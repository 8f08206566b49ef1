#include "kernels/linear.h"

#include <gtest/gtest.h>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

struct Shape {
  std::int64_t tokens, width, out;
};
constexpr Shape kShapes[] = {{0, 5, 3}, {1, 1, 1}, {1, 576, 71}, {2, 31, 5}, {7, 33, 4}, {13, 229, 9}, {16, 64, 40}};

TEST(Linear, MatchesReference) {
  for (const auto [tokens, width, out] : kShapes) {
    const Values x = random_values(tokens * width, 1), w = random_values(width * out, 2), w2 = random_values(width * 3, 3);
    Values wanted(static_cast<std::size_t>(tokens * out)), wanted2(static_cast<std::size_t>(tokens * 3));
    linear_reference(x.data(), tokens, width,
                     std::vector<LinearProduct>{{w.data(), out, wanted.data()}, {w2.data(), 3, wanted2.data()}});
    for (const int threads : testing::kThreadCounts) {
      Values got(wanted.size()), got2(wanted2.size());
      linear(x.data(), tokens, width, std::vector<LinearProduct>{{w.data(), out, got.data()}, {w2.data(), 3, got2.data()}},
             threads);
      const double floor = std::sqrt(static_cast<double>(width));
      testing::expect_close(got, wanted, 8, floor);
      testing::expect_close(got2, wanted2, 8, floor);
    }
  }
}

TEST(Linear, ATokenDoesNotSeeTheOthers) {
  const std::int64_t tokens = 23, width = 71, out = 30;
  const Values x = random_values(tokens * width, 1), w = random_values(width * out, 2);
  Values all(static_cast<std::size_t>(tokens * out));
  linear(x.data(), tokens, width, std::vector<LinearProduct>{{w.data(), out, all.data()}}, 3);
  for (std::int64_t count = 1; count <= tokens; ++count) {
    Values some(static_cast<std::size_t>(count * out));
    linear(x.data() + (tokens - count) * width, count, width, std::vector<LinearProduct>{{w.data(), out, some.data()}}, 2);
    expect_same_bits(some, Values(all.end() - count * out, all.end()));
  }
}

TEST(Linear, RejectsBadArguments) {
  float one = 1, result = 0;
  const std::vector<LinearProduct> fine = {{&one, 1, &result}}, none = {{&one, 0, &result}};
  expect_check_fails([&] { linear(&one, -1, 1, fine, 1); });
  expect_check_fails([&] { linear(&one, 1, 0, fine, 1); });
  expect_check_fails([&] { linear(&one, 1, 1, fine, 0); });
  expect_check_fails([&] { linear(&one, 1, 1, none, 1); });
  expect_check_fails([&] { linear_reference(&one, -1, 1, fine); });
  expect_check_fails([&] { linear_reference(&one, 1, 1, none); });
}

}  // namespace
}  // namespace thinkrec::kernels
