#include "kernels/linear_int8.h"

#include <gtest/gtest.h>

#include <memory>

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
// Tiles take 16 tokens, 32 rows of W and 64 columns: none of these is a multiple of all.
constexpr Shape kShapes[] = {{0, 5, 3},   {1, 1, 1},    {1, 576, 71},  {2, 31, 16},
                             {5, 64, 33}, {6, 130, 17}, {16, 100, 40}, {71, 229, 97}};

/// A packed matrix and the memory that it lies in.
struct Packed {
  Packed(const Values& weights, std::int64_t out, std::int64_t width)
      : codes(static_cast<std::uint8_t*>(std::aligned_alloc(64, static_cast<std::size_t>(int8_codes(out, width)))), &std::free),
        scales(static_cast<std::size_t>(int8_scales(out, width))) {
    pack_int8(weights.data(), out, width, codes.get(), scales.data(), 2);
    view = {codes.get(), scales.data(), out, width};
  }
  std::unique_ptr<std::uint8_t, decltype(&std::free)> codes;
  Values scales;
  Int8Weights view;
};

TEST(LinearInt8, MatchesReference) {
  for (const auto [tokens, width, out] : kShapes) {
    const Values x = random_values(tokens * width, 1), w = random_values(width * out, 2), w2 = random_values(width * 3, 3);
    const Packed packed(w, out, width), packed2(w2, 3, width);
    Values wanted(static_cast<std::size_t>(tokens * out)), wanted2(static_cast<std::size_t>(tokens * 3));
    linear_int8_reference(x.data(), tokens, width,
                          std::vector<Int8Product>{{packed.view, wanted.data()}, {packed2.view, wanted2.data()}});
    for (const int threads : testing::kThreadCounts) {
      Values got(wanted.size()), got2(wanted2.size());
      linear_int8(x.data(), tokens, width, std::vector<Int8Product>{{packed.view, got.data()}, {packed2.view, got2.data()}},
                  threads);
      const double floor = 4 * std::sqrt(static_cast<double>(width));
      testing::expect_close(got, wanted, 4, floor);
      testing::expect_close(got2, wanted2, 4, floor);
    }
  }
}

TEST(LinearInt8, ATokenDoesNotSeeTheOthers) {
  const std::int64_t tokens = 53, width = 150, out = 60;
  const Values x = random_values(tokens * width, 1), w = random_values(width * out, 2);
  const Packed packed(w, out, width);
  Values all(static_cast<std::size_t>(tokens * out));
  linear_int8(x.data(), tokens, width, std::vector<Int8Product>{{packed.view, all.data()}}, 3);
  for (std::int64_t count = 1; count <= tokens; ++count) {
    Values some(static_cast<std::size_t>(count * out));
    linear_int8(x.data() + (tokens - count) * width, count, width, std::vector<Int8Product>{{packed.view, some.data()}}, 2);
    expect_same_bits(some, Values(all.end() - count * out, all.end()));
  }
}

TEST(LinearInt8, RoundsToTheNearestOf255Steps) {
  const std::int64_t out = 21, width = 130;
  Values w = random_values(out * width, 7);
  std::fill_n(w.begin() + 64, 64, 0.0f);  // a block of zeros
  const Packed packed(w, out, width);
  Values back(w.size());
  unpack_int8(packed.view, back.data());
  for (std::int64_t row = 0; row < out; ++row) {
    for (std::int64_t block = 0; block < width; block += kInt8Block) {
      float largest = 0;
      const std::int64_t end = std::min(width, block + kInt8Block);
      for (std::int64_t k = block; k < end; ++k)
        largest = std::max(largest, std::abs(w[static_cast<std::size_t>(row * width + k)]));
      for (std::int64_t k = block; k < end; ++k) {
        const auto i = static_cast<std::size_t>(row * width + k);
        ASSERT_LE(std::abs(back[i] - w[i]), largest / 127 * 0.5001f) << row << ' ' << k;
      }
    }
  }
  // The extremes meet: no path may saturate on the way.
  const Values most(static_cast<std::size_t>(width), 1.0f), least(static_cast<std::size_t>(width), -1.0f);
  for (const Values* weights : {&most, &least}) {
    const Packed extreme(*weights, 1, width);
    float result = 0;
    linear_int8(least.data(), 1, width, std::vector<Int8Product>{{extreme.view, &result}}, 1);
    EXPECT_NEAR(result, weights == &most ? -130 : 130, 1e-4);
  }
}

TEST(LinearInt8, RejectsBadArguments) {
  const Packed packed({1, 2}, 1, 2);
  const Values x = {1, 2, 3};
  float result = 0;
  std::uint8_t code = 0;
  float scale = 0;
  const std::vector<Int8Product> fine = {{packed.view, &result}};
  expect_check_fails([&] { linear_int8(x.data(), -1, 2, fine, 1); });
  expect_check_fails([&] { linear_int8(x.data(), 1, 2, fine, 0); });
  expect_check_fails([&] { linear_int8(x.data(), 1, 3, fine, 1); });
  expect_check_fails([&] { linear_int8(x.data(), 1, 0, {}, 1); });
  expect_check_fails([&] { linear_int8_reference(x.data(), -1, 2, fine); });
  expect_check_fails([&] { linear_int8_reference(x.data(), 1, 3, fine); });
  expect_check_fails([&] { pack_int8(x.data(), 0, 1, &code, &scale, 1); });
}

}  // namespace
}  // namespace thinkrec::kernels
