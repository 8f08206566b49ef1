// Generation with the cache against the same choice made by running the whole text again for every token.
#include "model/generate.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "support/tensors.h"
#include "support/testing.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::alone;
using testing::pack;
using testing::random_rows;
using testing::tiny_config;
using testing::TinyModel;
using Rows = std::vector<std::vector<std::int32_t>>;

std::int32_t greedy(const Llama& model, const std::vector<std::int32_t>& text) {
  const at::NoGradGuard no_grad;
  PackedBatch batch;
  batch.add(text, 0);
  const at::Tensor last = at::tensor(std::vector<std::int64_t>{batch.tokens() - 1});
  const at::Tensor hidden = model.layers(model.embed(batch, {}), batch, 0, model.config().layers, nullptr, last);
  return static_cast<std::int32_t>(model.logits(model.final_norm(hidden)).argmax().item<std::int64_t>());
}

Rows greedy_by_hand(const Llama& model, Rows rows, std::int64_t count) {
  Rows made(rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::int64_t i = 0; i < count; ++i) {
      made[r].push_back(greedy(model, rows[r]));
      rows[r].push_back(made[r].back());
    }
  }
  return made;
}

TEST(Generate, GreedyIsTheSameWithoutCache) {
  for (const auto& [heads, kv_heads] : {std::pair{4, 4}, {6, 2}}) {
    const TinyModel model(tiny_config(heads, kv_heads), 3);
    const Rows prompts = random_rows({1, 9, 2, 30}, 97, 4);
    GenerateConfig config;
    config.max_new_tokens = 20;
    EXPECT_EQ(generate(*model, nullptr, pack(prompts), {}, config), greedy_by_hand(*model, prompts, 20));
  }
}

TEST(Generate, TakesFeaturesOfThePrompts) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({5, 3}, 97, 4);
  Rows spliced = prompts;
  spliced[0][1] = -2;
  spliced[1][2] = -1;
  const at::Tensor& table = model->weights().embedding;
  const at::Tensor features = at::stack({table[prompts[1][2]], table[prompts[0][1]]}).contiguous();
  GenerateConfig config;
  config.max_new_tokens = 6;
  EXPECT_EQ(generate(*model, nullptr, pack(spliced), features, config), generate(*model, nullptr, pack(prompts), {}, config));
}

TEST(Generate, EndsARowAtEosOrStopAndGoesOnWithTheOthers) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({4, 7, 2}, 97, 6);
  GenerateConfig config;
  config.max_new_tokens = 16;
  const Rows whole = generate(*model, nullptr, pack(prompts), {}, config);
  const auto cut_at = [](Rows rows, const std::set<std::int32_t>& ends) {
    for (auto& row : rows) {
      row.erase(std::find_if(row.begin(), row.end(), [&](std::int32_t t) { return ends.contains(t); }), row.end());
    }
    return rows;
  };
  bool one_ended_first = false;
  for (const auto& row : whole) {
    config.eos = row[3];
    config.stop = {};
    const Rows wanted = cut_at(whole, {*config.eos});
    one_ended_first |= wanted[0].size() != wanted[1].size() || wanted[1].size() != wanted[2].size();
    EXPECT_EQ(generate(*model, nullptr, pack(prompts), {}, config), wanted);
    config.stop = {whole[0][5], whole[2][1]};
    EXPECT_EQ(generate(*model, nullptr, pack(prompts), {}, config), cut_at(whole, {*config.eos, whole[0][5], whole[2][1]}));
  }
  EXPECT_TRUE(one_ended_first);
  config.eos = whole[0][0];  // the first token already ends it
  config.stop = {};
  EXPECT_TRUE(generate(*model, nullptr, alone(prompts, 0), {}, config)[0].empty());
}

TEST(Generate, AFirstTokenIsChosenAndItsOpeningFollows) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({4, 7, 2, 5, 3}, 97, 6);
  GenerateConfig config;
  config.max_new_tokens = 6;
  config.no_repeat_ngram = 2;  // what is given is not held to it
  config.first = {11, 12};
  config.opening = {{21, 21, 21}, {22}};
  std::set<std::int32_t> chosen;
  for (std::size_t row = 0; row < prompts.size(); ++row) {
    const auto text = generate(*model, nullptr, alone(prompts, row), {}, config)[0];
    ASSERT_EQ(text.size(), 6U);
    chosen.insert(text[0]);
    ASSERT_TRUE(text[0] == 11 || text[0] == 12);
    const auto& opening = config.opening[text[0] == 11 ? 0 : 1];
    EXPECT_EQ(std::vector<std::int32_t>(text.begin() + 1, text.begin() + 1 + static_cast<std::ptrdiff_t>(opening.size())),
              opening);
    // What follows is what the model says after a prompt that ends so.
    Rows longer = {prompts[row]};
    longer[0].insert(longer[0].end(), text.begin(), text.begin() + 1 + static_cast<std::ptrdiff_t>(opening.size()));
    GenerateConfig plain;
    plain.max_new_tokens = 1;
    EXPECT_EQ(generate(*model, nullptr, pack(longer), {}, plain)[0][0], text[1 + opening.size()]);
  }
  EXPECT_EQ(chosen.size(), 2U);
  config.opening.pop_back();
  EXPECT_THROW(generate(*model, nullptr, pack(prompts), {}, config), Error);
}

bool repeats(const std::vector<std::int32_t>& text, std::size_t n) {
  std::set<std::vector<std::int32_t>> seen;
  for (std::size_t i = 0; i + n <= text.size(); ++i) {
    if (!seen.emplace(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(i + n)).second)
      return true;
  }
  return false;
}

TEST(Generate, NoNgramTwice) {
  LlamaConfig shape = tiny_config();
  shape.vocab = 17;  // few words, which repeat, but more than 30 tokens can use up
  const TinyModel model(shape, 5);
  const Rows prompts = random_rows({3, 5}, shape.vocab, 1);
  GenerateConfig config;
  config.max_new_tokens = 30;
  for (const auto& row : generate(*model, nullptr, pack(prompts), {}, config)) ASSERT_TRUE(repeats(row, 4));
  for (const std::int64_t n : {2, 3, 4}) {
    config.no_repeat_ngram = n;
    for (const auto& row : generate(*model, nullptr, pack(prompts), {}, config)) {
      EXPECT_EQ(row.size(), 30U);
      EXPECT_FALSE(repeats(row, static_cast<std::size_t>(n))) << n;
    }
  }
  config.no_repeat_ngram = 1;
  config.max_new_tokens = 17;
  for (const auto& row : generate(*model, nullptr, pack(prompts), {}, config)) EXPECT_FALSE(repeats(row, 1));
}

TEST(Generate, DrawsDependOnSeedSampleAndPlaceAlone) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({4, 7, 2}, 97, 6);
  GenerateConfig config;
  config.max_new_tokens = 12;
  config.temperature = 1.5;
  config.seed = 11;
  const Rows packed = generate(*model, nullptr, pack(prompts), {}, config);
  for (std::size_t r = 0; r < prompts.size(); ++r) {
    EXPECT_EQ(generate(*model, nullptr, alone(prompts, r), {}, config)[0], packed[r]);
  }
  config.seed = 12;
  EXPECT_NE(generate(*model, nullptr, pack(prompts), {}, config), packed);
  config.temperature = 1e-3;  // nearly greedy
  const Rows cold = generate(*model, nullptr, pack(prompts), {}, config);
  config.temperature = 0;
  EXPECT_EQ(cold, generate(*model, nullptr, pack(prompts), {}, config));
}

TEST(Generate, DrawsFollowTheProbabilities) {
  LlamaConfig shape = tiny_config();
  shape.vocab = 5;
  const TinyModel model(shape);
  const at::NoGradGuard no_grad;
  PackedBatch prompts;
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) prompts.add(std::vector<std::int32_t>{1, 3}, static_cast<std::uint64_t>(i));
  GenerateConfig config;
  config.max_new_tokens = 1;
  config.temperature = 2;
  std::vector<double> seen(5, 0);
  for (const auto& row : generate(*model, nullptr, prompts, {}, config))
    seen[static_cast<std::size_t>(row.at(0))] += 1.0 / kDraws;
  PackedBatch one;
  one.add(std::vector<std::int32_t>{1, 3}, 0);
  const at::Tensor logits = model->logits(model->final_norm(model->layers(model->embed(one, {}), one, 0, 3, nullptr)))[1];
  const at::Tensor wanted = at::softmax(logits.to(at::kDouble) / 2, 0);
  for (std::int64_t i = 0; i < 5; ++i) {
    const double p = wanted[i].item<double>();
    EXPECT_NEAR(seen[static_cast<std::size_t>(i)], p, 4 * std::sqrt(p * (1 - p) / kDraws) + 1e-9);
  }
}

TEST(Generate, TheModelsOwnLayersGiveTheSame) {
  const TinyModel model(tiny_config(6, 2));
  Rows prompts = random_rows({4, 17, 1, 9}, 97, 6);
  prompts[1][3] = -1;
  const at::Tensor features = model->weights().embedding.slice(0, 5, 6).contiguous();
  for (const double temperature : {0.0, 1.2}) {
    GenerateConfig config;
    config.max_new_tokens = 14;
    config.temperature = temperature;
    config.top_p = 0.9;
    config.no_repeat_ngram = 2;
    config.repetition_penalty = 1.1;
    config.remember_prompt = true;
    const Rows wanted = generate(*model, nullptr, pack(prompts), features, config);
    EXPECT_EQ(generate_together(*model, nullptr, pack(prompts), features, std::span(&config, 1)), wanted);
    config.eos = wanted[0][2];
    EXPECT_EQ(generate_together(*model, nullptr, pack(prompts), features, std::span(&config, 1)),
              generate(*model, nullptr, pack(prompts), features, config));
  }
}

TEST(Generate, ARowEndsWhereThePositionsDo) {
  LlamaConfig shape = tiny_config();
  shape.max_positions = 24;
  const TinyModel model(shape);
  const Rows prompts = random_rows({20, 23, 4, 1}, 97, 1);
  std::vector<GenerateConfig> configs(prompts.size());
  for (GenerateConfig& config : configs) config.max_new_tokens = 50;
  configs[3].max_new_tokens = 6;
  const Rows together = generate_together(*model, nullptr, pack(prompts), {}, configs);
  for (const auto& [row, tokens] : {std::pair{0U, 4U}, {1U, 1U}, {2U, 20U}, {3U, 6U}})
    EXPECT_EQ(together[row].size(), tokens) << row;
  EXPECT_EQ(together, generate(*model, nullptr, pack(prompts), {}, configs));
  const Rows full = random_rows({3, 24}, 97, 1);
  testing::expect_error(ExitCode::kBadData, "24 tokens, of the model's 24 positions",
                        [&] { generate_together(*model, nullptr, pack(full), {}, std::span(configs).first(1)); });
}

TEST(Generate, RowsWithSettingsOfTheirOwn) {
  const TinyModel model(tiny_config());
  const Rows prompts = random_rows({4, 7, 2, 5}, 97, 6);
  std::vector<GenerateConfig> configs(prompts.size());
  for (std::size_t row = 0; row < configs.size(); ++row) {
    configs[row].max_new_tokens = static_cast<std::int64_t>(3 * row);
    configs[row].first = {11, 12};
    configs[row].opening = {{21, static_cast<std::int32_t>(30 + row)}, {22}};
  }
  Rows wanted;
  for (std::size_t row = 0; row < prompts.size(); ++row) {
    wanted.push_back(generate(*model, nullptr, alone(prompts, row), {}, configs[row])[0]);
    ASSERT_EQ(wanted[row].size(), 3 * row);
  }
  EXPECT_EQ(generate(*model, nullptr, pack(prompts), {}, configs), wanted);
  EXPECT_EQ(generate_together(*model, nullptr, pack(prompts), {}, configs), wanted);
}

TEST(Generate, NothingAskedNothingGiven) {
  const TinyModel model(tiny_config());
  GenerateConfig config;
  EXPECT_TRUE(generate(*model, nullptr, {}, {}, config).empty());
  config.max_new_tokens = 0;
  EXPECT_EQ(generate(*model, nullptr, pack(random_rows({3}, 97, 1)), {}, config), Rows(1));
  EXPECT_THROW(generate(*model, nullptr, pack({{1, 2}, {}}), {}, GenerateConfig{}), Error);
}

}  // namespace
}  // namespace thinkrec
