// Attention over packed rows against libtorch's composite attention, row by row in fp64.
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/rope.h"
#include "model/llama.h"
#include "model/ops.h"
#include "support/tensors.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::expect_close;
using testing::normal_tensor;

constexpr std::int64_t kHeadWidth = 6;

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedBatch& batch,
                     const kernels::RopeTable& rope) {
  return ops::rope_attention(q, k, v, to_device(batch, at::kCPU), to_device(rope, at::kCPU));
}

kernels::RopeTable table() { return kernels::make_rope_table(512, kHeadWidth, 100, {}); }

/// x [tokens, heads, width] turned by the angles of `rope`, in fp64.
at::Tensor rotated(const at::Tensor& x, const PackedBatch& batch, const kernels::RopeTable& rope) {
  const auto rows_of = [&](const std::vector<float>& values) {
    at::Tensor rows = at::empty({batch.tokens(), kHeadWidth / 2}, at::kFloat);
    for (std::int64_t t = 0; t < batch.tokens(); ++t) {
      std::copy_n(&values[batch.position[static_cast<std::size_t>(t)] * kHeadWidth / 2], kHeadWidth / 2,
                  rows.mutable_data_ptr<float>() + t * kHeadWidth / 2);
    }
    return rows.unsqueeze(1).to(at::kDouble);
  };
  const at::Tensor cos = rows_of(rope.cos), sin = rows_of(rope.sin), a = x.narrow(2, 0, kHeadWidth / 2),
                   b = x.narrow(2, kHeadWidth / 2, kHeadWidth / 2);
  return at::cat({a * cos - b * sin, b * cos + a * sin}, 2);
}

at::Tensor composite(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const PackedBatch& batch,
                     const kernels::RopeTable& rope) {
  const std::int64_t group = q.size(1) / k.size(1);
  const at::Tensor turned_q = rotated(q, batch, rope), turned_k = rotated(k, batch, rope);
  std::vector<at::Tensor> rows;
  for (std::int64_t r = 0; r < batch.rows(); ++r) {
    const auto part = [&](const at::Tensor& x, std::int64_t repeat) {
      return x.narrow(0, batch.begin[static_cast<std::size_t>(r)], batch.length(r)).repeat_interleave(repeat, 1).transpose(0, 1);
    };
    const at::Tensor scores =
        at::matmul(part(turned_q, 1), part(turned_k, group).transpose(1, 2)) / std::sqrt(double{kHeadWidth});
    const at::Tensor future = at::ones({batch.length(r), batch.length(r)}, at::kBool).triu(1);
    const at::Tensor weights = at::softmax(scores.masked_fill(future, -std::numeric_limits<double>::infinity()), -1);
    rows.push_back(at::matmul(weights, part(v, group)).transpose(0, 1).flatten(1));
  }
  return at::cat(rows, 0);
}

TEST(RopeAttention, IsTheCompositeWithItsGradients) {
  const auto rope = table();
  for (const auto& [heads, kv_heads] : {std::pair{1, 1}, {4, 4}, {3, 1}, {6, 2}, {8, 2}}) {
    for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{1}, {1, 2, 17}, {40, 3, 0, 1}}) {
      const PackedBatch batch = testing::pack(testing::random_rows(lengths, 9, 1));
      const std::int64_t tokens = batch.tokens();
      const at::Tensor cotangent = normal_tensor({tokens, heads * kHeadWidth}, 4);
      std::vector<at::Tensor> single, twice;
      for (const auto& [count, seed] : {std::pair{heads, 1}, {kv_heads, 2}, {kv_heads, 3}}) {
        const at::Tensor value = normal_tensor({tokens, count, kHeadWidth}, static_cast<std::uint64_t>(seed));
        single.push_back(value.clone().requires_grad_());
        twice.push_back(value.to(at::kDouble).requires_grad_());
      }
      const at::Tensor got = attention(single[0] * 1, single[1] * 1, single[2] * 1, batch, rope);
      const at::Tensor wanted = composite(twice[0], twice[1], twice[2], batch, rope);
      expect_close(got, wanted, 1e-5, fmt::format("{} heads, {} key heads", heads, kv_heads));
      (got * cotangent).sum().backward();
      (wanted * cotangent.to(at::kDouble)).sum().backward();
      for (std::size_t i = 0; i < 3; ++i) expect_close(single[i].grad(), twice[i].grad(), 1e-5, fmt::format("gradient {}", i));
    }
  }
}

TEST(RopeAttention, OfSomeTokensIsTheSameAsOfAll) {
  const auto rope = table();
  // Rows 1 and 2 follow row 0; long enough that queries go in several blocks.
  PackedBatch batch = testing::pack(testing::random_rows({150, 70, 9, 30}, 9, 1));
  batch.reach[0] = batch.begin[3];
  const std::vector<std::vector<std::int64_t>> choices = {
      {149}, {0, 3, 200, 258}, {10, 11, 12, 149, 150, 229}, {200, 3, 200}, {}};
  for (const auto& [heads, kv_heads] : {std::pair{2, 2}, {6, 2}}) {
    for (const std::vector<std::int64_t>& choice : choices) {
      std::vector<at::Tensor> all, some;
      for (const auto& [count, seed] : {std::pair{heads, 1}, {kv_heads, 2}, {kv_heads, 3}}) {
        const at::Tensor value = normal_tensor({batch.tokens(), count, kHeadWidth}, static_cast<std::uint64_t>(seed));
        all.push_back(value.clone().requires_grad_());
        some.push_back(value.clone().requires_grad_());
      }
      const at::Tensor needed = at::tensor(choice, at::kLong);
      const at::Tensor wanted = attention(all[0] * 1, all[1] * 1, all[2] * 1, batch, rope).index_select(0, needed);
      const at::Tensor got = ops::rope_attention(some[0] * 1, some[1] * 1, some[2] * 1, to_device(batch, at::kCPU),
                                                 to_device(rope, at::kCPU), needed);
      ASSERT_EQ(got.sizes(), wanted.sizes());
      if (choice.empty()) continue;
      expect_close(got, wanted, 1e-6);
      const at::Tensor cotangent = normal_tensor(got.sizes(), 4);
      (got * cotangent).sum().backward();
      (wanted * cotangent).sum().backward();
      for (std::size_t i = 0; i < 3; ++i) expect_close(some[i].grad(), all[i].grad(), 1e-5, fmt::format("gradient {}", i));
    }
  }
}

TEST(RopeAttention, ContinuesARowAtItsFirstPosition) {
  const auto rope = table();
  PackedBatch batch;
  batch.add(std::vector<std::int32_t>(5, 0), 1, 200);
  const at::Tensor q = normal_tensor({5, 2, kHeadWidth}, 1), k = normal_tensor({5, 1, kHeadWidth}, 2),
                   v = normal_tensor({5, 1, kHeadWidth}, 3);
  const at::Tensor wanted = composite(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), batch, rope);
  expect_close(attention(q.clone(), k.clone(), v, batch, rope), wanted, 1e-5);
}

TEST(CachedAttention, TokenByTokenIsTheWhole) {
  const auto rope = table();
  LlamaConfig config = testing::tiny_config(6, 2);
  config.layers = 2;
  const std::vector<std::int64_t> lengths = {7, 1, 12};  // of the prompts; each gets 3 more tokens
  const PackedBatch whole = testing::pack(testing::random_rows({10, 4, 15}, 9, 1));
  const at::Tensor q = normal_tensor({whole.tokens(), 6, kHeadWidth}, 1), k = normal_tensor({whole.tokens(), 2, kHeadWidth}, 2),
                   v = normal_tensor({whole.tokens(), 2, kHeadWidth}, 3);
  const at::Tensor wanted = attention(q.clone(), k.clone(), v, whole, rope);
  KvCache cache(config, 3, 15);
  for (int round = 0; round < 4; ++round) {
    PackedBatch part;
    std::vector<std::int64_t> take;
    for (std::int64_t r = 0; r < 3; ++r) {
      const std::int64_t prompt = lengths[static_cast<std::size_t>(r)], first = round == 0 ? 0 : prompt + round - 1;
      const std::int64_t count = round == 0 ? prompt : (r == 1 && round == 2 ? 0 : 1);  // row 1 pauses for a round
      for (std::int64_t i = 0; i < count; ++i) take.push_back(whole.begin[static_cast<std::size_t>(r)] + first + i);
      part.add(std::vector<std::int32_t>(static_cast<std::size_t>(count), 0), 0, static_cast<std::uint32_t>(first));
    }
    if (round == 3) {  // the row that paused now has its second token to say
      take[1] = whole.begin[1] + 2;
      part.position[1] = 2;
    }
    const at::Tensor index = at::tensor(take);
    const at::Tensor got = ops::cached_attention(q.index_select(0, index), k.index_select(0, index), v.index_select(0, index),
                                                 to_device(part, at::kCPU), to_device(rope, at::kCPU), 1, cache);
    expect_close(got, wanted.index_select(0, index), 1e-5, fmt::format("round {}", round));
    for (std::int64_t r = 0; r < 3; ++r) cache.advance(r, part.length(r));
  }
}

TEST(CachedAttention, RefusesAFullCacheAndALongContinuation) {
  const auto rope = table();
  KvCache cache(testing::tiny_config(2, 1), 1, 4);
  const auto attend = [&](std::int64_t length) {
    PackedBatch batch;
    batch.add(std::vector<std::int32_t>(static_cast<std::size_t>(length), 0), 0, static_cast<std::uint32_t>(cache.length(0)));
    ops::cached_attention(normal_tensor({length, 2, kHeadWidth}, 1), normal_tensor({length, 1, kHeadWidth}, 2),
                          normal_tensor({length, 1, kHeadWidth}, 3), to_device(batch, at::kCPU), to_device(rope, at::kCPU), 0,
                          cache);
  };
  EXPECT_THROW(attend(5), Error);
  attend(3);
  cache.advance(0, 3);
  EXPECT_THROW(attend(2), Error);
  attend(1);
  cache.advance(0, 1);
  EXPECT_THROW(attend(1), Error);
}

TEST(KvCache, TruncatesToWhatItHolds) {
  KvCache cache(testing::tiny_config(), 2, 8);
  cache.advance(1, 5);
  cache.truncate(1, 3);
  EXPECT_EQ(cache.length(1), 3);
  EXPECT_THROW(cache.truncate(1, 4), Error);
  EXPECT_THROW(cache.truncate(0, -1), Error);
}

}  // namespace
}  // namespace thinkrec
