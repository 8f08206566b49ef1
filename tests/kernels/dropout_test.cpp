#include "kernels/dropout.h"

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using Mask = std::vector<std::uint8_t>;

Mask mask_of(const DropoutKey& key, std::uint32_t projection, std::uint64_t sample, std::uint32_t position, std::int64_t width) {
  Mask keep(static_cast<std::size_t>(width), 7);
  dropout_keep_mask(key, projection, sample, position, width, keep.data());
  return keep;
}

// Correlation of two masks of equal keep probability 1 - p; about N(0, 1 / n) when they are independent.
double correlation(const Mask& a, const Mask& b, double p) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - (1 - p)) * (b[i] - (1 - p));
  return sum / (static_cast<double>(a.size()) * p * (1 - p));
}

// The known answers that come with Random123, the authors' library.
TEST(Philox, KnownAnswers) {
  const auto expect = [](PhiloxWords counter, std::uint32_t key0, std::uint32_t key1, PhiloxWords wanted) {
    const PhiloxWords got = philox4x32_10(counter, key0, key1);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(got.word[i], wanted.word[i]);
  };
  expect({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  expect({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  expect({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(Dropout, MaskIsTheReferences) {
  for (const std::int64_t width : {0, 1, 2, 7, 8, 9, 31, 33, 127, 128, 129, 229, 576}) {
    for (const float p : {0.0f, 0.05f, 0.5f, 0.999f}) {
      const DropoutKey key{0x123456789abcdefULL, 1ULL << 33, 5, p};
      Mask wanted(static_cast<std::size_t>(width), 7);
      dropout_keep_mask_reference(key, 1, 1ULL << 40, 12, width, wanted.data());
      EXPECT_EQ(mask_of(key, 1, 1ULL << 40, 12, width), wanted) << width << " " << p;
      std::vector<float> factor(static_cast<std::size_t>(width));
      dropout_factors(key, dropout_stream(key, 1ULL << 40), 1, 12, width, factor.data());
      for (std::size_t i = 0; i < factor.size(); ++i) EXPECT_EQ(factor[i], wanted[i] != 0 ? 1 / (1 - p) : 0.0f);
    }
  }
}

TEST(Dropout, NarrowMaskIsTheStartOfAWideOne) {
  const DropoutKey key{1, 2, 3, 0.3f};
  const Mask wide = mask_of(key, 0, 4, 5, 576);
  const Mask narrow = mask_of(key, 0, 4, 5, 71);
  EXPECT_TRUE(std::equal(narrow.begin(), narrow.end(), wide.begin()));
}

TEST(Dropout, ProbabilityZeroKeepsAll) {
  const Mask keep = mask_of({1, 2, 3, 0.0f}, 0, 4, 5, 1000);
  EXPECT_EQ(std::accumulate(keep.begin(), keep.end(), 0), 1000);
}

TEST(Dropout, ThresholdIsRounded) {
  EXPECT_EQ(dropout_threshold(0.0f), 0u);
  EXPECT_EQ(dropout_threshold(0.05f), 3277u);
  EXPECT_EQ(dropout_threshold(0.5f), 32768u);
  EXPECT_EQ(dropout_threshold(1.0f), 65536u);
}

TEST(Dropout, KeepRate) {
  for (const float p : {0.05f, 0.1f, 0.5f}) {
    const std::int64_t width = 1000;
    double kept = 0;
    std::vector<double> by_feature(static_cast<std::size_t>(width), 0.0);
    const int tokens = 1000;
    for (int t = 0; t < tokens; ++t) {
      const Mask keep = mask_of({9, 1, 0, p}, 0, static_cast<std::uint64_t>(t / 100), static_cast<std::uint32_t>(t % 100), width);
      for (std::size_t i = 0; i < keep.size(); ++i) {
        kept += keep[i];
        by_feature[i] += keep[i];
      }
    }
    const double sigma = std::sqrt(p * (1 - p));
    EXPECT_NEAR(kept / (1000.0 * tokens), 1 - p, 5 * sigma / 1000);
    for (const double count : by_feature) EXPECT_NEAR(count / tokens, 1 - p, 5.5 * sigma / std::sqrt(1.0 * tokens));
  }
}

TEST(Dropout, EveryCoordinateChangesTheMaskIndependently) {
  const float p = 0.2f;
  const std::int64_t width = 40000;
  const DropoutKey key{11, 5, 3, p};
  const Mask base = mask_of(key, 0, 100, 17, width);
  EXPECT_EQ(mask_of(key, 0, 100, 17, width), base);
  DropoutKey seed = key, seed_high = key, step = key, step_high = key, layer = key;
  seed.seed += 1;
  seed_high.seed += 1ULL << 32;
  step.step += 1;
  step_high.step += 1ULL << 32;
  layer.layer += 1;
  const std::vector<Mask> others = {mask_of(key, 1, 100, 17, width),
                                    mask_of(key, 0, 101, 17, width),
                                    mask_of(key, 0, 100 + (1ULL << 32), 17, width),
                                    mask_of(key, 0, 100, 18, width),
                                    mask_of(seed, 0, 100, 17, width),
                                    mask_of(seed_high, 0, 100, 17, width),
                                    mask_of(step, 0, 100, 17, width),
                                    mask_of(step_high, 0, 100, 17, width),
                                    mask_of(layer, 0, 100, 17, width),
                                    mask_of(key, 3, 100, 17, width),
                                    mask_of({11, 100, 3, p}, 0, 5, 17, width),   // sample and step exchanged
                                    mask_of({11, 5, 0, p}, 3, 100, 17, width)};  // layer and projection exchanged
  const double bound = 4.5 / std::sqrt(static_cast<double>(width));
  for (std::size_t i = 0; i < others.size(); ++i) {
    EXPECT_LT(std::abs(correlation(base, others[i], p)), bound) << i;
    for (std::size_t j = 0; j < i; ++j) EXPECT_LT(std::abs(correlation(others[j], others[i], p)), bound) << i << " " << j;
  }
}

TEST(Dropout, NeighbouringFeaturesAreIndependent) {
  const float p = 0.2f;
  const Mask base = mask_of({11, 5, 3, p}, 0, 100, 17, 40016);
  for (const std::ptrdiff_t lag : {1, 2, 3, 7, 8, 16}) {
    const Mask a(base.begin(), base.begin() + 40000), b(base.begin() + lag, base.begin() + 40000 + lag);
    EXPECT_LT(std::abs(correlation(a, b, p)), 4.5 / 200) << lag;
  }
}

TEST(Dropout, RejectsProbabilityOutOfRange) {
  for (const float p : {-0.1f, 1.0f, 1.5f, std::nanf("")}) {
    std::uint8_t keep = 0;
    expect_check_fails([&] { dropout_keep_mask({1, 2, 3, p}, 0, 0, 0, 1, &keep); });
    expect_check_fails([&] { dropout_keep_mask_reference({1, 2, 3, p}, 0, 0, 0, 1, &keep); });
  }
}

}  // namespace
}  // namespace thinkrec::kernels
