#include "kernels/kv_attention.h"

#include <gtest/gtest.h>

#include "kernels/kernel_testing.h"

namespace thinkrec::kernels {
namespace {

using testing::expect_check_fails;
using testing::expect_same_bits;
using testing::random_values;
using Values = std::vector<float>;

/// Segments that own their memory, filled from random keys and values: the same for the same seed however they are cut.
template <class Real>
struct Kept {
  Kept(const KvShape& shape, const std::vector<std::int64_t>& lengths, unsigned seed, std::int64_t spare = 5) {
    std::int64_t tokens = 0;
    for (const std::int64_t length : lengths) tokens += length;
    const std::int64_t width = shape.kv_heads * shape.head_width;
    const Values k = random_values(tokens * width, seed), v = random_values(tokens * width, seed + 1);
    std::int64_t first = 0;
    for (const std::int64_t length : lengths) {
      const std::int64_t capacity = (length + spare + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
      memory.emplace_back(static_cast<std::size_t>(2 * capacity * width));
      Real* keys = memory.back().data();
      segments.push_back({keys, keys + capacity * width, capacity, length});
      kv_store(shape, k.data() + first * width, v.data() + first * width, length, segments.back(), 0);
      first += length;
    }
  }
  std::vector<std::vector<Real>> memory;
  std::vector<KvSegment<Real>> segments;
};

constexpr KvShape kShapes[] = {{1, 1, 1}, {4, 2, 6}, {9, 3, 64}, {7, 1, 21}, {6, 6, 40}};

template <class Real>
void expect_reference() {
  for (const KvShape& shape : kShapes) {
    const Kept<Real> a(shape, {1}, 1), b(shape, {37}, 3), c(shape, {16, 3, 40}, 5), d(shape, {2, 0, 70}, 7);
    const std::vector<KvRow<Real>> rows = {{0, 1, a.segments}, {1, 37, b.segments}, {38, 1, c.segments}, {39, 5, d.segments}};
    const std::int64_t size = 44 * shape.heads * shape.head_width;
    const Values q = random_values(size, 9, 2);
    Values wanted(static_cast<std::size_t>(size));
    kv_attention_reference<Real>(shape, q.data(), rows, wanted.data());
    for (const int threads : testing::kThreadCounts) {
      Values got(wanted.size(), 7.0f);
      kv_attention<Real>(shape, q.data(), rows, got.data(), threads);
      testing::expect_close(got, wanted, 64, 1);
    }
  }
}

TEST(KvAttention, MatchesReference) { expect_reference<float>(); }
TEST(KvAttention, MatchesReferenceInBf16) { expect_reference<Bfloat16>(); }

TEST(KvAttention, NeitherCutsNorCompanyChangeAnything) {
  const KvShape shape{9, 3, 40};
  const std::int64_t tokens = 45, width = shape.heads * shape.head_width;
  const Kept<float> whole(shape, {tokens}, 1);
  const Values q = random_values(tokens * width, 2);
  Values wanted(q.size());
  kv_attention<float>(shape, q.data(), std::vector<KvRow<float>>{{0, tokens, whole.segments}}, wanted.data(), 2);
  for (const std::int64_t cut : {1, 15, 16, 17, 44}) {
    const Kept<float> cut_up(shape, {cut, tokens - cut}, 1), other(shape, {9}, 4);
    const std::int64_t fresh = tokens - cut;  // the last tokens alone, beside another row
    Values queries = random_values(9 * width, 5), got(static_cast<std::size_t>((9 + fresh) * width));
    queries.insert(queries.end(), q.end() - fresh * width, q.end());
    kv_attention<float>(shape, queries.data(), std::vector<KvRow<float>>{{0, 9, other.segments}, {9, fresh, cut_up.segments}},
                        got.data(), 3);
    expect_same_bits(Values(got.end() - fresh * width, got.end()), Values(wanted.end() - fresh * width, wanted.end()));
  }
}

TEST(KvAttention, StoresWhereItIsTold) {
  const KvShape shape{2, 2, 3};
  const Values k = random_values(20 * 6, 1), v = random_values(20 * 6, 2);
  std::vector<float> at_once(2 * 32 * 6), one_by_one(at_once.size());
  const KvSegment<float> a{at_once.data(), at_once.data() + 32 * 6, 32, 0},
      b{one_by_one.data(), one_by_one.data() + 32 * 6, 32, 0};
  kv_store(shape, k.data(), v.data(), 20, a, 3);
  for (std::int64_t t = 0; t < 20; ++t) kv_store(shape, k.data() + t * 6, v.data() + t * 6, 1, b, 3 + t);
  expect_same_bits(at_once, one_by_one);
  EXPECT_EQ(a.keys[(32 + 16) * 3 + 2 * kKeyBlock + 1], k[(17 - 3) * 6 + 3 + 2]);  // head 1, token 17, dimension 2
  EXPECT_EQ(a.values[(32 + 17) * 3 + 2], v[(17 - 3) * 6 + 3 + 2]);
}

TEST(KvAttention, RejectsBadArguments) {
  const KvShape shape{2, 1, 4};
  Kept<float> kept(shape, {3}, 1, 0);
  const Values q(8, 1.0f);
  Values out(8);
  const auto attend = [&](const KvShape& s, std::int64_t tokens, int threads) {
    kv_attention<float>(s, q.data(), std::vector<KvRow<float>>{{0, tokens, kept.segments}}, out.data(), threads);
  };
  attend(shape, 1, 1);
  expect_check_fails([&] { attend(shape, 1, 0); });
  expect_check_fails([&] { attend({3, 2, 4}, 1, 1); });
  expect_check_fails([&] { attend(shape, 4, 1); });
  expect_check_fails([&] { kv_store(shape, q.data(), q.data(), 1, kept.segments[0], 16); });
  kept.segments[0].length = 17;
  expect_check_fails([&] { attend(shape, 1, 1); });
}

}  // namespace
}  // namespace thinkrec::kernels
