#include "model/config.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "io/gguf.h"
#include "io/io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::raw;
using Json = nlohmann::json;

/// The config.json of a small model as transformers 5 writes it.
Json good() {
  return Json::parse(R"({
    "model_type": "llama", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "max_position_embeddings": 1024, "rms_norm_eps": 1e-05,
    "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true,
    "rope_parameters": {"rope_theta": 50000.0, "rope_type": "default"}})");
}

void refuses(const Json& json, const std::string& part) {
  expect_error(ExitCode::kBadData, part, [&] { parse_hf_config(json.dump(), "m/config.json"); });
  expect_error(ExitCode::kBadData, "m/config.json", [&] { parse_hf_config(json.dump(), "m/config.json"); });
}

void refuses(const char* key, const Json& value, const std::string& part) {
  SCOPED_TRACE(std::string(key) + " = " + value.dump());
  Json json = good();
  json[key] = value;
  refuses(json, part);
}

TEST(HfConfig, ReadsEveryField) {
  const LlamaConfig config = parse_hf_config(good().dump(), "c");
  EXPECT_EQ(config.vocab, 300);
  EXPECT_EQ(config.width, 64);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_width, 16);
  EXPECT_EQ(config.ffn, 96);
  EXPECT_EQ(config.max_positions, 1024);
  EXPECT_EQ(config.norm_epsilon, 1e-5F);
  EXPECT_TRUE(config.tied_head);
  EXPECT_EQ(config.rope_theta, 50000);
  EXPECT_FALSE(config.rope_scaling.llama3);
}

TEST(HfConfig, DefaultsAreThoseOfTransformers) {
  Json json = good();
  for (const char* key : {"num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings",
                          "rope_parameters", "hidden_act", "attention_bias", "mlp_bias"}) {
    json.erase(key);
  }
  json["hidden_size"] = 128;
  const LlamaConfig config = parse_hf_config(json.dump(), "c");
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_width, 32);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.norm_epsilon, 1e-6F);
  EXPECT_FALSE(config.tied_head);
  EXPECT_EQ(config.rope_theta, 10000);
  json["num_key_value_heads"] = nullptr;  // null is the same as absent
  json["head_dim"] = nullptr;
  json["rope_scaling"] = nullptr;
  json["hidden_act"] = nullptr;
  EXPECT_EQ(parse_hf_config(json.dump(), "c").head_width, 32);
}

TEST(HfConfig, ReadsRopeInBothSpellings) {
  const Json scaling = {
      {"factor", 32.0}, {"low_freq_factor", 1.5}, {"high_freq_factor", 5.0}, {"original_max_position_embeddings", 512}};
  std::vector<Json> spellings(3, good());
  spellings[0].erase("rope_parameters");
  spellings[0]["rope_theta"] = 50000.0;
  spellings[0]["rope_scaling"] = scaling;
  spellings[0]["rope_scaling"]["rope_type"] = "llama3";
  spellings[1] = spellings[0];
  spellings[1]["rope_scaling"].erase("rope_type");
  spellings[1]["rope_scaling"]["type"] = "llama3";
  spellings[2]["rope_parameters"] = scaling;
  spellings[2]["rope_parameters"]["rope_type"] = "llama3";
  spellings[2]["rope_parameters"]["rope_theta"] = 50000.0;
  for (const Json& json : spellings) {
    const LlamaConfig config = parse_hf_config(json.dump(), "c");
    EXPECT_EQ(config.rope_theta, 50000);
    EXPECT_TRUE(config.rope_scaling.llama3);
    EXPECT_EQ(config.rope_scaling.factor, 32);
    EXPECT_EQ(config.rope_scaling.low_frequency_factor, 1.5);
    EXPECT_EQ(config.rope_scaling.high_frequency_factor, 5);
    EXPECT_EQ(config.rope_scaling.original_length, 512);
  }
}

TEST(HfConfig, RefusesWhatIsNoLlama) {
  refuses("model_type", "qwen2", "'qwen2'");
  refuses("model_type", 7, "model_type");
  refuses("attention_bias", true, "bias");
  refuses("mlp_bias", true, "bias");
  refuses("mlp_bias", "no", "mlp_bias");
  refuses("hidden_act", "gelu", "'gelu'");
  refuses("hidden_act", 3, "hidden_act");
  refuses("rope_parameters", {{"rope_type", "yarn"}}, "'yarn'");
  refuses("rope_scaling", {{"type", "linear"}, {"factor", 2}}, "'linear'");
  Json none = good();
  none.erase("model_type");
  refuses(none, "(none)");
}

TEST(HfConfig, RefusesMissingAndMistypedFields) {
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}) {
    Json json = good();
    json.erase(key);
    refuses(json, key);
    refuses(key, "12", key);
    refuses(key, 1.5, key);
    refuses(key, nullptr, key);
  }
  refuses("head_dim", "wide", "head_dim");
  refuses("rms_norm_eps", "small", "rms_norm_eps");
  refuses("tie_word_embeddings", "yes", "tie_word_embeddings");
  refuses("rope_parameters", {{"rope_theta", "big"}}, "rope_theta");
  refuses("rope_parameters", {{"rope_type", "llama3"}, {"factor", "big"}}, "factor");
}

TEST(HfConfig, RefusesSizesThatCannotBe) {
  refuses("head_dim", 15, "odd");
  refuses("num_key_value_heads", 3, "evenly");
  refuses("num_attention_heads", 129 * 2, "at most 128 may share one");
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-4}, std::int64_t{1} << 40}) {
    refuses("vocab_size", value, "vocabulary size");
    refuses("hidden_size", value, "hidden size");
    refuses("num_hidden_layers", value, "number of layers");
    refuses("num_attention_heads", value, "number of heads");
    refuses("num_key_value_heads", value, "key/value heads");
    refuses("head_dim", value, "head width");
    refuses("intermediate_size", value, "intermediate size");
    refuses("max_position_embeddings", value, "number of positions");
  }
  refuses("vocab_size", 18446744073709551615U, "vocab");  // does not fit in 64 bits with a sign
  refuses("rms_norm_eps", 0, "epsilon");
  refuses("rms_norm_eps", -1e-5, "epsilon");
  refuses("rope_parameters", {{"rope_theta", 0}}, "RoPE");
  refuses("rope_parameters", {{"rope_theta", -3.0}}, "RoPE");
}

TEST(HfConfig, RefusesSizesWhoseProductOverflows) {
  Json json = good();  // each in its range, 2^66 weights together
  json["hidden_size"] = 1 << 20;
  json["num_hidden_layers"] = 4096;
  json["num_attention_heads"] = json["num_key_value_heads"] = json["head_dim"] = 1 << 16;
  refuses(json, "no model has so many");
}

TEST(HfConfig, RefusesRopeScalingThatCannotBe) {
  const auto scaled = [](double factor, double low, double high, double length) {
    return Json{{"rope_type", "llama3"},
                {"factor", factor},
                {"low_freq_factor", low},
                {"high_freq_factor", high},
                {"original_max_position_embeddings", length}};
  };
  refuses("rope_parameters", scaled(0, 1, 4, 8192), "RoPE");
  refuses("rope_parameters", scaled(8, -1, 4, 8192), "RoPE");
  refuses("rope_parameters", scaled(8, 4, 4, 8192), "RoPE");
  refuses("rope_parameters", scaled(8, 1, 4, 0), "RoPE");
}

TEST(HfConfig, RefusesWhatIsNoJsonObject) {
  const auto refused = [](const std::string& text, const char* why) {
    expect_error(ExitCode::kBadData, why, [&] { parse_hf_config(text, "m/config.json"); });
  };
  for (const char* text : {"[]", "3", "null", "\"llama\""}) refused(text, "m/config.json: not a JSON object");
  for (const char* text : {"", "{"}) refused(text, "m/config.json: not valid JSON at byte");
  refused("{\"rope_scaling\": " + std::string(500'000, '[') + std::string(500'000, ']') + "}", "nested deeper than 64 levels");
  refused(R"({"model_type": "llama", "model_type": "llama"})", "the key 'model_type' is there twice");
}

TEST(LlamaConfig, RefusesRopeFactorsOfAnotherWidth) {
  LlamaConfig config = parse_hf_config(good().dump(), "c");
  config.rope_factors.assign(8, 1.0F);
  config.check("c");
  config.rope_factors.push_back(1);
  expect_error(ExitCode::kBadData, "9 RoPE factors", [&] { config.check("c"); });
}

std::string gguf_string(const std::string& value) { return raw<std::uint64_t>(value.size()) + value; }
// Values of metadata with their types.
std::string text(const std::string& value) { return raw<std::uint32_t>(8) + gguf_string(value); }
std::string number(std::uint32_t value) { return raw<std::uint32_t>(4) + raw(value); }
std::string real(float value) { return raw<std::uint32_t>(6) + raw(value); }

/// A GGUF file of a small model's shape, with further metadata and, beside the embedding, tensors [4, 8] of zeros.
LlamaConfig read_gguf(const std::map<std::string, std::string>& more, std::vector<std::string> tensors = {}) {
  std::map<std::string, std::string> keys = {
      {"general.architecture", text("llama")},    {"llama.embedding_length", number(8)},
      {"llama.block_count", number(1)},           {"llama.attention.head_count", number(2)},
      {"llama.attention.key_length", number(64)}, {"llama.feed_forward_length", number(16)},
      {"llama.context_length", number(32)},       {"llama.attention.layer_norm_rms_epsilon", real(1e-5F)}};
  keys.insert(more.begin(), more.end());
  tensors.emplace_back("token_embd.weight");
  std::string bytes = "GGUF" + raw<std::uint32_t>(3) + raw<std::uint64_t>(tensors.size()) + raw<std::uint64_t>(keys.size());
  for (const auto& [key, value] : keys) bytes += gguf_string(key) + value;
  constexpr std::uint64_t kBytes = 4 * 8 * sizeof(float);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    bytes += gguf_string(tensors[i]) + raw<std::uint32_t>(2) + raw<std::uint64_t>(8) + raw<std::uint64_t>(4);
    bytes += raw<std::uint32_t>(0) + raw<std::uint64_t>(i * kBytes);
  }
  bytes.resize((bytes.size() + 31) / 32 * 32 + tensors.size() * kBytes, '\0');
  const testing::TempFolder folder;
  return gguf_config(GgufFile(folder.put("m.gguf", bytes)));
}

void refuses_gguf(const std::string& part, const std::map<std::string, std::string>& more,
                  const std::vector<std::string>& tensors = {}) {
  expect_error(ExitCode::kBadData, part, [&] { read_gguf(more, tensors); });
  expect_error(ExitCode::kBadData, "/m.gguf: ", [&] { read_gguf(more, tensors); });
}

TEST(GgufConfig, RefusesRopeScalingOtherThanLlama3s) {
  for (const char* type : {"linear", "yarn", "longrope", ""})
    refuses_gguf(fmt::format("RoPE scaling '{}' is not supported", type), {{"llama.rope.scaling.type", text(type)}});
  refuses_gguf("'llama.rope.scaling.type' is an integer", {{"llama.rope.scaling.type", number(1)}});
  for (const char* factor : {"llama.rope.scale_linear", "llama.rope.scaling.factor"}) {
    refuses_gguf("RoPE scaling 'linear' is not supported", {{factor, real(4)}});
    refuses_gguf(fmt::format("'{}' is an integer", factor), {{factor, number(4)}});
    EXPECT_EQ(read_gguf({{factor, real(1)}}).width, 8);
    EXPECT_EQ(read_gguf({{factor, real(4)}, {"llama.rope.scaling.type", text("none")}}).width, 8);
  }
  EXPECT_TRUE(read_gguf({}).rope_factors.empty());
  EXPECT_EQ(read_gguf({}, {"rope_freqs.weight"}).rope_factors.size(), 32U);
}

TEST(GgufConfig, RefusesBiases) {
  for (const char* name : {"blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.11.ffn_down.bias"})
    refuses_gguf(fmt::format("tensor '{}': biases in attention or MLP are not supported", name), {}, {name});
  const LlamaConfig config = read_gguf({}, {"blk.0.attn_q.weight", "output.weight"});
  EXPECT_EQ(config.vocab, 4);
  EXPECT_FALSE(config.tied_head);
}

TEST(GenerationEnds, AreOneOrAListOrNone) {
  const testing::TempFolder folder;
  const auto ends = [&](const std::string& text) {
    folder.put("generation_config.json", text);
    return generation_ends(folder.path().string());
  };
  EXPECT_TRUE(generation_ends(folder.path().string()).empty());
  EXPECT_EQ(ends(R"({"eos_token_id": 2})"), std::vector<std::int32_t>{2});
  EXPECT_EQ(ends(R"({"eos_token_id": [128001, 128008, 128009]})"), (std::vector<std::int32_t>{128001, 128008, 128009}));
  EXPECT_TRUE(ends(R"({"eos_token_id": null})").empty());
  EXPECT_TRUE(ends("{}").empty());
  for (const char* wrong : {R"({"eos_token_id": "2"})", R"({"eos_token_id": [-1]})", R"({"eos_token_id": 5e12})", R"({"eos_token_id": 99999999999})"})
    expect_error(ExitCode::kBadData, "'eos_token_id'", [&] { ends(wrong); });
}

}  // namespace
}  // namespace thinkrec
