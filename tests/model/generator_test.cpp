#include "model/generator.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <stdexcept>

#include "core/error.h"
#include "model/generate.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::alone;
using testing::random_rows;
using testing::tiny_config;
using testing::TinyModel;
using Rows = std::vector<std::vector<std::int32_t>>;

/// Adds a fixed multiple of the input's mean to q and v: an adapter that changes every answer. Throws after `calls` of them.
class ShiftHook final : public ProjectionHook {
 public:
  explicit ShiftHook(double by, int calls = std::numeric_limits<int>::max()) : by_(by), calls_(calls) {}
  std::pair<at::Tensor, at::Tensor> apply(std::int64_t layer, const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const DeviceBatch& batch) const override {
    if (calls_-- == 0) throw std::runtime_error("no more calls");
    EXPECT_EQ(batch.tokens(), x.size(0));
    EXPECT_EQ(batch.position.size(0), x.size(0));
    const at::Tensor shift = x.mean(1, true) * (by_ * static_cast<double>(layer + 1));
    return {q + shift, layer % 2 == 0 ? v + shift : v.add_(shift)};  // both ways of giving them back
  }

 private:
  double by_;
  mutable int calls_;
};

GenerateConfig asks(std::int64_t tokens, double temperature = 0) {
  GenerateConfig config;
  config.max_new_tokens = tokens;
  config.temperature = temperature;
  config.seed = 5;
  return config;
}

/// Each row by itself, one token of the prompt a pass.
Rows one_by_one(const Llama& model, const std::vector<GenerateRow>& rows, Precision precision = Precision::kFp32) {
  Rows texts;
  for (const GenerateRow& row : rows) {
    Generator generator(model, {.precision = precision, .rows = 1, .pass_tokens = 1});
    texts.push_back(generator.run({row})[0]);
  }
  return texts;
}

/// Rows of several lengths, adapters, ends and temperatures.
std::vector<GenerateRow> motley(const ShiftHook& first, const ShiftHook& second) {
  const Rows prompts = random_rows({1, 40, 3, 19, 7, 33, 2, 25, 11, 5}, 97, 8);
  std::vector<GenerateRow> rows;
  for (std::size_t r = 0; r < prompts.size(); ++r) {
    const ProjectionHook* hooks[] = {nullptr, &first, &second};
    rows.push_back({prompts[r], {}, r, hooks[r % 3], asks(static_cast<std::int64_t>(3 + 7 * r % 20), r % 4 == 3 ? 1.0 : 0.0)});
  }
  return rows;
}

TEST(Generator, CompanyChangesNothing) {
  const TinyModel model(tiny_config());
  const ShiftHook first(0.5), second(-0.7);
  const std::vector<GenerateRow> rows = motley(first, second);
  for (const Precision precision : {Precision::kFp32, Precision::kInt8}) {
    const Rows wanted = one_by_one(*model, rows, precision);
    for (std::size_t r = 0; r < rows.size(); ++r) ASSERT_EQ(wanted[r].size(), 3 + 7 * r % 20);
    for (const std::int64_t together : {1, 3, 16}) {
      for (const std::int64_t pass_tokens : {1, 9, 512}) {
        Generator generator(*model, {.precision = precision, .rows = together, .pass_tokens = pass_tokens, .threads = 2});
        EXPECT_EQ(generator.run(rows), wanted) << together << " rows, " << pass_tokens << " tokens a pass";
      }
    }
  }
  EXPECT_NE(one_by_one(*model, {{rows[0].prompt, {}, 0, &first, asks(9)}}),
            one_by_one(*model, {{rows[0].prompt, {}, 0, &second, asks(9)}}));
}

TEST(Generator, AgreesWithTheModelsOwnPass) {
  for (const bool tied : {true, false}) {
    const TinyModel model(tiny_config(6, 2, tied), 2);
    const ShiftHook hook(0.4);
    std::vector<std::int32_t> text = random_rows({13}, 97, 3)[0];
    Generator generator(*model, {});
    const auto made = generator.run({{text, {}, 0, &hook, asks(8)}})[0];
    const at::NoGradGuard no_grad;
    for (const std::int32_t token : made) {
      PackedBatch batch;
      batch.add(text, 0);
      const at::Tensor last = at::tensor(std::vector<std::int64_t>{batch.tokens() - 1});
      const at::Tensor hidden = model->layers(model->embed(batch, {}), batch, 0, model->config().layers, &hook, last);
      EXPECT_EQ(token, model->logits(model->final_norm(hidden)).argmax().item<std::int64_t>());
      text.push_back(token);
    }
  }
}

TEST(Generator, WhatPromptsBeginWithIsComputedOnce) {
  const TinyModel model(tiny_config());
  const ShiftHook hook(0.5);
  const Rows begin = random_rows({20, 30}, 97, 1), ends = random_rows({3, 6, 2, 9, 1, 4}, 97, 2);
  std::vector<GenerateRow> rows;
  for (std::size_t r = 0; r < ends.size(); ++r) {  // all begin with the same 20 tokens, the last four with 30 more
    std::vector<std::int32_t> prompt = begin[0];
    if (r >= 2) prompt.insert(prompt.end(), begin[1].begin(), begin[1].end());
    prompt.insert(prompt.end(), ends[r].begin(), ends[r].end());
    rows.push_back({prompt, {}, r, &hook, asks(6)});
  }
  rows.push_back({rows[2].prompt, {}, 9, nullptr, asks(6)});  // another adapter shares nothing
  rows.push_back({begin[0], {}, 10, &hook, asks(6)});         // all of its prompt is common: its last token stays its own
  const Rows wanted = one_by_one(*model, rows);
  std::int64_t own = 0;
  for (const auto& end : ends) own += static_cast<std::int64_t>(end.size());
  for (const std::int64_t together : {2, 16}) {
    Generator generator(*model, {.rows = together, .threads = 2});
    EXPECT_EQ(generator.run(rows), wanted);
    const auto apart = static_cast<std::int64_t>(rows[2].prompt.size());
    EXPECT_GE(generator.prompt_tokens(), 20 + 30 + own + apart);
    EXPECT_LE(generator.prompt_tokens(), 20 + 30 + own + apart + 2 * 16) << "cuts nearer than 16 tokens are not worth a run";
  }
  Generator none(*model, {.rows = 16, .shared_from = 1000});
  EXPECT_EQ(none.run(rows), wanted);
  EXPECT_GT(none.prompt_tokens(), 250);
}

TEST(Generator, ForgetsWhatWasSharedWithItsAdapter) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({50}, 97, 1);
  Generator generator(*model, {});
  std::optional<ShiftHook> hook;
  std::vector<GenerateRow> rows(3, {prompts[0], {}, 0, nullptr, asks(5)});
  Rows before;
  for (const double shift : {0.5, -0.9, 0.1}) {
    hook.emplace(shift);  // at the same address
    for (GenerateRow& row : rows) row.hook = &*hook;
    const Rows got = generator.run(rows);
    EXPECT_EQ(got, one_by_one(*model, rows)) << shift;
    EXPECT_NE(got, before);
    before = got;
  }
  EXPECT_EQ(generator.prompt_tokens(), 3 * 52);
}

TEST(Generator, AnErrorInRunLeavesNoRow) {
  const TinyModel model(tiny_config());
  std::optional<ShiftHook> hook;  // always at the same address, as hooks of one caller after the other may be
  std::vector<GenerateRow> rows(3, {random_rows({50}, 97, 1)[0], {}, 0, nullptr, asks(5)});
  const GeneratorConfig config{.rows = 2, .pass_tokens = 20};
  Generator generator(*model, config);
  const auto set_hook = [&](double by, int calls) {
    hook.emplace(by, calls);
    for (GenerateRow& row : rows) row.hook = &*hook;
  };
  const auto expect_fresh = [&](double by) {
    EXPECT_FALSE(generator.step());
    EXPECT_TRUE(generator.take_finished().empty());
    set_hook(by, 1000);
    const std::int64_t before = generator.prompt_tokens();
    Generator fresh(*model, config);
    EXPECT_EQ(generator.run(rows), fresh.run(rows));
    EXPECT_EQ(generator.prompt_tokens() - before, fresh.prompt_tokens());
  };
  set_hook(0.5, 4);
  generator.add({{1}, {}, 0, nullptr, asks(0)});  // has ended at once, and goes with the others
  EXPECT_THROW(generator.run(rows), std::runtime_error) << "in the second pass, two rows at work and one waiting";
  expect_fresh(-0.9);
  set_hook(0.5, 1000);
  rows.push_back({{}, {}, 0, nullptr, asks(5)});
  EXPECT_THROW(generator.run(rows), Error) << "the last row is refused";
  rows.pop_back();
  expect_fresh(0.1);
}

TEST(Generator, SlotsAreSharedOnlyWithTheSameFeatures) {
  const TinyModel model(tiny_config());
  std::vector<std::int32_t> prompt = random_rows({40}, 97, 1)[0];
  prompt[3] = -1;
  prompt[38] = -2;
  const at::Tensor a = at::randn({2, 20}), b = a.clone(), c = at::randn({2, 20});
  const std::vector<GenerateRow> rows = {
      {prompt, a, 0, nullptr, asks(7)}, {prompt, b, 1, nullptr, asks(7)}, {prompt, c, 2, nullptr, asks(7)}};
  Generator generator(*model, {.threads = 2});
  EXPECT_EQ(generator.run(rows), one_by_one(*model, rows));
  EXPECT_EQ(generator.prompt_tokens(), 41 + 40);
}

TEST(Generator, RowsJoinAndLeaveOnTheWay) {
  const TinyModel model(tiny_config());
  const ShiftHook first(0.5), second(-0.7);
  const std::vector<GenerateRow> rows = motley(first, second);
  const Rows wanted = one_by_one(*model, rows);
  Generator generator(*model, {.rows = 3, .pass_tokens = 16});
  std::map<std::int64_t, std::vector<std::int32_t>> got;
  std::vector<std::int64_t> tickets;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    tickets.push_back(generator.add(rows[r]));
    for (int i = 0; i < 4; ++i) generator.step();
    for (auto& done : generator.take_finished()) got[done.ticket] = done.tokens;
  }
  const Rows last = generator.run({rows[0]});  // goes on with the others, and leaves them to be fetched
  EXPECT_EQ(last[0], wanted[0]);
  while (generator.step()) {
  }
  for (auto& done : generator.take_finished()) got[done.ticket] = done.tokens;
  ASSERT_EQ(got.size(), rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) EXPECT_EQ(got[tickets[r]], wanted[r]) << r;
  EXPECT_FALSE(generator.step());
}

TEST(Generator, EndsWhereThePositionsDo) {
  LlamaConfig shape = tiny_config();
  shape.max_positions = 24;
  const TinyModel model(shape);
  Generator generator(*model, {});
  const Rows prompts = random_rows({20, 23, 24}, 97, 1);
  EXPECT_EQ(generator.run({{prompts[0], {}, 0, nullptr, asks(50)}})[0].size(), 4U);
  EXPECT_EQ(generator.run({{prompts[1], {}, 0, nullptr, asks(50)}})[0].size(), 1U);
  try {
    generator.add({prompts[2], {}, 0, nullptr, asks(1)});
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    EXPECT_NE(std::string(error.what()).find("24 tokens, of the model's 24 positions"), std::string::npos) << error.what();
  }
}

TEST(Generator, RemembersThePromptWhenAsked) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({60}, 97, 1);
  GenerateConfig config = asks(10);
  config.no_repeat_ngram = 1;
  const auto repeats = [&](bool remember) {
    config.remember_prompt = remember;
    const auto text = generate(*model, nullptr, alone(prompts, 0), {}, config)[0];
    return std::any_of(text.begin(), text.end(), [&](std::int32_t token) {
      return std::find(prompts[0].begin(), prompts[0].end(), token) != prompts[0].end();
    });
  };
  EXPECT_TRUE(repeats(false));
  EXPECT_FALSE(repeats(true));
}

TEST(Generator, In8BitsTextIsNearlyThatOfFp32) {
  LlamaConfig shape = tiny_config();
  shape.width = 192;
  shape.ffn = 320;
  shape.head_width = 48;
  const TinyModel model(shape, 4);
  std::vector<GenerateRow> rows;
  for (auto& prompt : random_rows(std::vector<std::int64_t>(40, 12), 97, 3)) rows.push_back({prompt, {}, 0, nullptr, asks(1)});
  Generator fp32(*model, {}), int8(*model, {.precision = Precision::kInt8});
  const Rows wanted = fp32.run(rows), got = int8.run(rows);
  int same = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) same += wanted[r] == got[r];
  EXPECT_GE(same, 36) << "of 40 first tokens";
}

TEST(Generator, RefusesWhatMakesNoSense) {
  const TinyModel model(tiny_config());
  EXPECT_EQ(parse_precision("int8"), Precision::kInt8);
  EXPECT_THROW(parse_precision("int4"), Error);
  EXPECT_THROW(Generator(*model, {.rows = 0}), Error);
  EXPECT_THROW(Generator(*model, {.pass_tokens = 0}), Error);
  Generator generator(*model, {});
  EXPECT_THROW(generator.add({{}, {}, 0, nullptr, asks(1)}), Error);
  EXPECT_THROW(generator.add({{97}, {}, 0, nullptr, asks(1)}), Error);
  EXPECT_THROW(generator.add({{-1}, {}, 0, nullptr, asks(1)}), Error);
  EXPECT_THROW(generator.add({{1}, {}, 0, nullptr, asks(1, -1)}), Error);
  EXPECT_TRUE(generator.run({{{1}, {}, 0, nullptr, asks(0)}})[0].empty());
}

}  // namespace
}  // namespace thinkrec
