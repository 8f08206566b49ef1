#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "train/parameter_set.h"
#include "train/row_losses.h"
#include "train/step.h"
#include "train/synthesis.h"

namespace thinkrec {
namespace {

EncodedRow row_of(std::vector<std::int32_t> token, std::int64_t prompt, bool reason) {
  EncodedRow row;
  row.token = std::move(token);
  row.slots.resize(1);
  row.prompt_length = prompt;
  row.reason = reason;
  row.label = 1;
  return row;
}

TEST(LossBatch, ReadsTheAnswersPositions) {
  const EncodedRow recommendation = row_of({7, -1, 8, 5}, 3, false), reason = row_of({9, 5, 10, 11}, 1, true);
  const std::vector<StepRow> rows = {{&recommendation, 0, 0.5}, {&reason, 1, 0.5}};
  const LossBatch batch = make_loss_batch(rows, {}, CeSpan::kAnswer);
  EXPECT_EQ(batch.pack.packed.token, (std::vector<std::int32_t>{7, -1, 8, 9, 5, 10}));  // the last token is predicted, not read
  EXPECT_TRUE(at::equal(batch.needed, at::tensor({2L, 3L, 4L, 5L})));
  EXPECT_TRUE(at::equal(batch.yes_index, at::tensor({0L, 1L})));
  EXPECT_TRUE(at::equal(batch.target, at::tensor({5L, 5L, 10L, 11L})));
  EXPECT_FLOAT_EQ(batch.bce_weight[0].item<float>(), 0.45F);
  EXPECT_FLOAT_EQ(batch.bce_weight[1].item<float>(), 0.05F);
  EXPECT_FLOAT_EQ(batch.ce_weight[0].item<float>(), 0.05F);
  EXPECT_FLOAT_EQ(batch.ce_weight[3].item<float>(), 0.15F);  // .9 / 3 words / 2 rows
}

TEST(LossBatch, SpanAllCountsWordsAndNoSlots) {
  const EncodedRow row = row_of({7, -1, 8, 5}, 3, false);
  const StepRow step{&row, 0};
  const LossBatch batch = make_loss_batch(std::span(&step, 1), {}, CeSpan::kAll);
  EXPECT_TRUE(at::equal(batch.needed, at::tensor({0L, 1L, 2L})));
  EXPECT_TRUE(at::equal(batch.yes_index, at::tensor({2L})));
  EXPECT_FLOAT_EQ(batch.ce_weight[0].item<float>(), 0);  // what follows is a slot
  EXPECT_FLOAT_EQ(batch.ce_weight[1].item<float>(), 0.05F);
}

TEST(LossBatch, ARowWithoutAnswerIsABrokenInvariant) {
  const EncodedRow row = row_of({7, 8}, 2, false);
  const StepRow step{&row, 0};
  EXPECT_THROW(make_loss_batch(std::span(&step, 1), {}, CeSpan::kAnswer), Error);
}

TEST(MicroBatches, KeepOrderAndTheLimit) {
  using Runs = std::vector<std::pair<std::size_t, std::size_t>>;
  EXPECT_EQ(micro_batches(std::vector<std::int64_t>{5, 5, 5, 20, 1}, 10), (Runs{{0, 2}, {2, 3}, {3, 4}, {4, 5}}));
  EXPECT_EQ(micro_batches(std::vector<std::int64_t>{}, 10), Runs{});
}

TEST(LearningRate, WarmsUpThenFollowsTheCosine) {
  EXPECT_DOUBLE_EQ(learning_rate(1, 100, 10, 1.0, 0.1), 0.19);
  EXPECT_DOUBLE_EQ(learning_rate(10, 100, 10, 1.0, 0.1), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(11, 100, 10, 1.0, 0.1), 1.0);
  EXPECT_NEAR(learning_rate(100, 100, 10, 1.0, 0.1), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(1, 1, 0, 1.0, 0.1), 1.0);
  for (std::int64_t s = 11; s < 100; ++s) EXPECT_GE(learning_rate(s, 100, 10, 1.0, 0.1), learning_rate(s + 1, 100, 10, 1.0, 0.1));
}

TEST(ParameterSet, StoresAndRestoresExactly) {
  at::Tensor a = at::arange(6, at::kFloat).view({2, 3}), b = at::ones({3});
  std::vector<StoredTensor> stored;
  {
    ParameterSet set({{"a", a}, {"b", b}}, 0.1);
    set.gradient().fill_(0.5);
    set.update(0.1, 1, set.norm().norm, 1.0);
    stored = set.store("now/", false);
    EXPECT_EQ(stored.size(), 6U);
  }
  EXPECT_FALSE(a.requires_grad());
  const at::Tensor trained = a.clone();
  a.zero_();
  ParameterSet again({{"a", a}, {"b", b}}, 0.1);
  again.restore({1, {}, stored}, "now/", false);
  EXPECT_TRUE(at::equal(a, trained));
  EXPECT_THROW(again.restore({1, {}, {}}, "now/", false), Error);
  stored[0].shape = {3, 2};
  EXPECT_THROW(again.restore({1, {}, stored}, "now/", false), Error);
}

TEST(ParameterSet, NotFiniteIsSeen) {
  at::Tensor a = at::ones({4});
  ParameterSet set({{"a", a}}, 0);
  EXPECT_TRUE(set.norm().finite);
  set.gradient()[2].fill_(std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(set.norm().finite);
}

TEST(Verdict, IsTheFirstWordAndNothingElse) {
  EXPECT_EQ(parse_verdict("Yes, they would."), true);
  EXPECT_EQ(parse_verdict("  **No**. Because"), false);
  EXPECT_EQ(parse_verdict("\"yes\""), true);
  for (const char* none : {"", "Not sure", "Now", "Nothing", "I say Yes", "Yesterday", "42 Yes"})
    EXPECT_EQ(parse_verdict(none), std::nullopt) << none;
}

TEST(Reason, IsCleanedAndCutAtASentence) {
  EXPECT_EQ(clean_reason("Yes, the user  likes\nfilms like this one. And then it", true),
            "Yes. The user likes films like this one.");
  EXPECT_EQ(clean_reason("No. too dark", false), "No. Too dark");
  EXPECT_EQ(clean_reason("Yes.", true), "");
}

}  // namespace
}  // namespace thinkrec
