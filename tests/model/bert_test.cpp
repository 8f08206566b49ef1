#include "model/bert.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <random>

#include "io/safetensors.h"
#include "model/bleurt.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;
using Json = nlohmann::json;

Json config_json() {
  return {{"model_type", "bert"},         {"vocab_size", 12},         {"hidden_size", 8},
          {"num_hidden_layers", 2},       {"num_attention_heads", 2}, {"intermediate_size", 11},
          {"max_position_embeddings", 9}, {"type_vocab_size", 2},     {"hidden_act", "gelu"}};
}

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

Shapes shapes() {
  Shapes all = {{"embeddings.word_embeddings.weight", {12, 8}},
                {"embeddings.position_embeddings.weight", {9, 8}},
                {"embeddings.token_type_embeddings.weight", {2, 8}},
                {"embeddings.LayerNorm.weight", {8}},
                {"embeddings.LayerNorm.bias", {8}},
                {"classifier.weight", {1, 8}},
                {"classifier.bias", {1}}};
  const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    all[name + ".weight"] = {out, in};
    all[name + ".bias"] = {out};
  };
  linear("pooler.dense", 8, 8);
  for (const std::string layer : {"encoder.layer.0.", "encoder.layer.1."}) {
    for (const char* name : {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"})
      linear(layer + name, 8, 8);
    linear(layer + "intermediate.dense", 11, 8);
    linear(layer + "output.dense", 8, 11);
    for (const char* name : {"attention.output.LayerNorm", "output.LayerNorm"}) {
      all[layer + name + ".weight"] = {8};
      all[layer + name + ".bias"] = {8};
    }
  }
  return all;
}

/// Random weights under these names.
void write_model(const TempFolder& folder, const Shapes& wanted, const Json& config = config_json()) {
  std::mt19937_64 random(4);
  std::normal_distribution<float> normal(0, 0.5F);
  std::vector<std::vector<float>> values;
  std::vector<SafetensorsTensor> tensors;
  for (const auto& [name, shape] : wanted) {
    std::int64_t count = 1;
    for (const std::int64_t n : shape) count *= n;
    values.emplace_back(static_cast<std::size_t>(count));
    for (float& value : values.back()) value = normal(random);
  }
  for (std::size_t i = 0; const auto& [name, shape] : wanted) tensors.push_back({name, shape, values[i++].data()});
  folder.put("model.safetensors", encode_safetensors(std::move(tensors), {}));
  folder.put("config.json", config.dump());
}

TEST(Bert, ARowDoesNotHangOnTheRowsBesideIt) {
  const TempFolder folder;
  write_model(folder, shapes());
  const Bert model(folder.path());
  const std::vector<BertRow> rows = {{{2, 5, 3, 7, 3}, 3}, {{2, 3, 3}, 2}, {{1, 2, 3, 4, 5, 6, 7, 8, 9}, 9}};
  const at::Tensor all = model.hidden(rows), scores = model.regression(rows);
  ASSERT_EQ(all.size(0), 17);
  for (std::int64_t r = 0, begin = 0; r < 3; ++r) {
    const BertRow& row = rows[static_cast<std::size_t>(r)];
    const auto length = static_cast<std::int64_t>(row.token.size());
    EXPECT_LT((model.hidden(std::span(&row, 1)) - all.narrow(0, begin, length)).abs().max().item<float>(), 1e-5);
    EXPECT_LT((model.regression(std::span(&row, 1)) - scores[r]).abs().max().item<float>(), 1e-5);
    begin += length;
  }
  EXPECT_GT((scores[0] - scores[1]).abs().item<float>(), 1e-4);
  const BertRow other{{2, 5, 3, 7, 3}, 5};  // the types alone differ
  EXPECT_GT((model.regression(std::span(&other, 1)) - scores[0]).abs().item<float>(), 1e-4);
}

TEST(Bert, PrefixesDoNotMatter) {
  const TempFolder plain, prefixed;
  write_model(plain, shapes());
  write_model(prefixed, shapes());
  const SafetensorsFile file(plain.file("model.safetensors"));
  std::vector<std::vector<float>> values;
  std::vector<SafetensorsTensor> tensors;
  for (const auto& entry : file.entries()) {
    values.emplace_back(static_cast<std::size_t>(entry.elements));
    file.read(entry, values.back().data());
    const bool head = entry.name.starts_with("classifier.");
    tensors.push_back({(head ? "" : "bert.") + entry.name, entry.shape, nullptr});
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].data = values[i].data();
  prefixed.put("model.safetensors", encode_safetensors(std::move(tensors), {}));
  const BertRow row{{2, 5, 3, 7, 3}, 3};
  const std::span<const BertRow> rows(&row, 1);
  EXPECT_TRUE(at::equal(Bert(plain.path()).regression(rows), Bert(prefixed.path()).regression(rows)));
}

TEST(Bert, WhatIsMissingIsNamed) {
  const TempFolder folder;
  expect_error(ExitCode::kNoInput, "config.json", [&] { Bert(folder.path()); });
  const auto bad = [&](const std::string& part, Shapes wanted, const Json& config) {
    write_model(folder, wanted, config);
    expect_error(ExitCode::kBadData, part, [&] { Bert(folder.path()); });
  };
  const auto bad_field = [&](const std::string& part, const char* key, const Json& value) {
    Json config = config_json();
    config[key] = value;
    bad(part, shapes(), config);
  };
  Shapes wanted = shapes();
  wanted.erase("encoder.layer.1.output.dense.bias");
  bad("tensor 'encoder.layer.1.output.dense.bias' is missing", wanted, config_json());
  bad_field("tensor 'embeddings.word_embeddings.weight' has shape [12, 8], the configuration asks for [13, 8]", "vocab_size", 13);
  bad_field("model_type is 'llama'", "model_type", "llama");
  bad_field("position_embedding_type is 'relative_key'", "position_embedding_type", "relative_key");
  bad_field("'hidden_size' is missing or not an integer", "hidden_size", nullptr);
  bad_field("'num_hidden_layers' is missing or not an integer in 1..4096", "num_hidden_layers", 5000);
  bad_field("a hidden size of 8 does not divide into 3 heads", "num_attention_heads", 3);
  bad_field("'layer_norm_eps' is not a number", "layer_norm_eps", "x");
  bad_field("hidden_act is 'silu'", "hidden_act", "silu");
  bad_field("'input_embedding_size' is missing", "model_type", "rembert");
  folder.put("config.json", "[]");
  expect_error(ExitCode::kBadData, "config.json", [&] { Bert(folder.path()); });
}

TEST(Bert, AnEncoderAloneGivesNoScore) {
  const TempFolder folder;
  const BertRow row{{2, 3, 3}, 2};
  const std::span<const BertRow> rows(&row, 1);
  Shapes wanted = shapes();
  wanted.erase("classifier.weight");
  wanted.erase("classifier.bias");
  write_model(folder, wanted);
  EXPECT_EQ(Bert(folder.path()).hidden(rows).size(0), 3);
  expect_error(ExitCode::kBadData, "the model has no 'classifier.weight'", [&] { Bert(folder.path()).regression(rows); });
  wanted.erase("pooler.dense.weight");
  write_model(folder, wanted);
  expect_error(ExitCode::kBadData, "the model has no 'pooler.dense.weight'", [&] { Bert(folder.path()).regression(rows); });
}

TEST(Bert, RowsThatDoNotFitAreRefused) {
  const TempFolder folder;
  write_model(folder, shapes());
  const Bert model(folder.path());
  for (const BertRow& row : {BertRow{{}, 0}, BertRow{std::vector<std::int32_t>(10, 1), 10}, BertRow{{12}, 1}, BertRow{{-1}, 1}})
    expect_error(ExitCode::kInternal, "token", [&] { model.hidden(std::span(&row, 1)); });
}

TEST(Bleurt, FramesAndCutsPairs) {
  const TempFolder folder;
  write_model(folder, shapes());
  folder.put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\nd\n");
  const Bleurt bleurt(folder.path());
  const auto expect_row = [&](const std::string& reference, const std::string& candidate, const std::vector<std::int32_t>& ids,
                              std::int64_t second) {
    const BertRow row = bleurt.encode(reference, candidate);
    EXPECT_EQ(row.token, ids) << reference << " | " << candidate;
    EXPECT_EQ(row.second, second);
  };
  expect_row("a b", "c [SEP]", {2, 4, 5, 3, 6, 1, 1, 1, 3}, 4);
  expect_row("", "", {2, 3, 3}, 2);
  expect_row("a b c d", "a b c d", {2, 4, 5, 6, 3, 4, 5, 6, 3}, 5);
  expect_row("a b c d a", "d", {2, 4, 5, 6, 7, 4, 3, 7, 3}, 7);
  expect_row("a a a a a a a", "b b b b b", {2, 4, 4, 4, 3, 5, 5, 5, 3}, 5);
  std::vector<std::string> references, candidates;
  for (int i = 0; i < 600; ++i) {  // more than go through the model at once
    references.emplace_back(i % 3 == 0 ? "a b c" : "d");
    candidates.emplace_back(i % 7 == 0 ? "" : "c b");
  }
  const auto scores = bleurt.score(references, candidates);
  for (std::size_t i = 0; i < scores.size(); i += 37)
    EXPECT_NEAR(scores[i], bleurt.score(std::span(&references[i], 1), std::span(&candidates[i], 1))[0], 1e-5) << i;
  EXPECT_TRUE(bleurt.score({}, {}).empty());
}

TEST(Bleurt, AFolderThatCannotJudgePairsIsRefused) {
  const TempFolder folder;
  const auto bad = [&](const std::string& part) { expect_error(ExitCode::kBadData, part, [&] { Bleurt(folder.path()); }); };
  write_model(folder, shapes());
  expect_error(ExitCode::kNoInput, "neither tokenizer.json nor tokenizer.model nor vocab.txt", [&] { Bleurt(folder.path()); });
  folder.put("vocab.txt", "[PAD]\n[UNK]\na\n");
  bad("the tokenizer has no special token [CLS], and config.json names none for it");
  folder.put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\nd\ne\nf\ng\nh\ni\n");
  bad("the tokenizer has 13 tokens, the model 12");
  folder.put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n");
  Json config = config_json();
  config["type_vocab_size"] = 1;
  Shapes wanted = shapes();
  wanted["embeddings.token_type_embeddings.weight"] = {1, 8};
  write_model(folder, wanted, config);
  bad("the model tells no pairs apart");
  config = config_json();
  config["max_position_embeddings"] = 3;
  wanted = shapes();
  wanted["embeddings.position_embeddings.weight"] = {3, 8};
  write_model(folder, wanted, config);
  bad("no pair fits into max_position_embeddings");
}

}  // namespace
}  // namespace thinkrec
