#include "model/config.h"

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/bounded_json.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/printable.h"
#include "kernels/attention.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr double kMostWeights = 1e13;

std::int64_t integer_field(const Json& json, const char* key, const std::string& origin) {
  if (!json.contains(key) || !json[key].is_number_integer()) {
    fail(ExitCode::kBadData, "{}: field '{}' is missing or not an integer", origin, key);
  }
  return json[key].get<std::int64_t>();
}

double real_field(const Json& json, const char* key, double otherwise, const std::string& origin) {
  if (!json.contains(key) || json[key].is_null()) return otherwise;
  if (!json[key].is_number()) fail(ExitCode::kBadData, "{}: field '{}' is not a number", origin, key);
  return json[key].get<double>();
}

/// A field that may be absent or null; of another type it is an error and not an exception of the JSON library.
template <class T>
T optional_of_type(const Json& json, const char* key, T otherwise, const std::string& origin) {
  if (!json.contains(key) || json[key].is_null()) return otherwise;
  const Json& value = json[key];
  if (std::is_same_v<T, bool> ? !value.is_boolean() : !value.is_string()) {
    fail(ExitCode::kBadData, "{}: field '{}' is not {}", origin, key, std::is_same_v<T, bool> ? "true or false" : "a string");
  }
  return value.get<T>();
}

void read_rope(const Json& rope, LlamaConfig& config, const std::string& origin) {
  std::string type = "default";
  for (const char* key : {"rope_type", "type"}) {
    if (rope.contains(key) && rope[key].is_string()) {
      type = rope[key].get<std::string>();
      break;
    }
  }
  config.rope_theta = real_field(rope, "rope_theta", config.rope_theta, origin);
  if (type == "default") return;
  if (type != "llama3") {
    fail(ExitCode::kBadData, "{}: RoPE scaling '{}' is not supported; only 'default' and 'llama3' are", origin, type);
  }
  config.rope_scaling.llama3 = true;
  config.rope_scaling.factor = real_field(rope, "factor", 8, origin);
  config.rope_scaling.low_frequency_factor = real_field(rope, "low_freq_factor", 1, origin);
  config.rope_scaling.high_frequency_factor = real_field(rope, "high_freq_factor", 4, origin);
  config.rope_scaling.original_length = real_field(rope, "original_max_position_embeddings", 8192, origin);
}

/// Llama 3's scaling is the tensor rope_freqs.weight and has no type; a factor without a type is linear, as in llama.cpp.
void refuse_rope_scaling(const GgufFile& file) {
  std::string type = "none";
  if (file.has("llama.rope.scaling.type")) {
    type = file.get<std::string>("llama.rope.scaling.type");
  } else {
    for (const char* factor : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
      if (file.has(factor) && file.get<double>(factor) != 1) type = "linear";
    }
  }
  if (type == "none") return;
  fail(ExitCode::kBadData, "{}: RoPE scaling '{}' is not supported; only 'none' and Llama 3's (rope_freqs.weight) are",
       file.path(), printable(type));
}

}  // namespace

void LlamaConfig::check(const std::string& origin) const {
  const auto positive = [&](const char* name, std::int64_t value, std::int64_t most) {
    if (value < 1 || value > most) {
      fail(ExitCode::kBadData, "{}: {} is {}, outside 1..{}", origin, name, value, most);
    }
  };
  positive("vocabulary size", vocab, 1 << 24);
  positive("hidden size", width, 1 << 20);
  positive("number of layers", layers, 4096);
  positive("number of heads", heads, 1 << 16);
  positive("number of key/value heads", kv_heads, 1 << 16);
  positive("head width", head_width, 1 << 16);
  positive("intermediate size", ffn, 1 << 24);
  positive("number of positions", max_positions, std::int64_t{1} << 30);
  if (heads % kv_heads != 0) {
    fail(ExitCode::kBadData, "{}: {} heads cannot share {} key/value heads evenly", origin, heads, kv_heads);
  }
  if (heads / kv_heads > kernels::kMostSharedHeads) {
    fail(ExitCode::kBadData, "{}: {} heads for {} key/value heads; at most {} may share one", origin, heads, kv_heads,
         kernels::kMostSharedHeads);
  }
  if (head_width % 2 != 0) fail(ExitCode::kBadData, "{}: head width {} is odd, RoPE needs pairs", origin, head_width);
  if (!rope_factors.empty() && static_cast<std::int64_t>(rope_factors.size()) != head_width / 2) {
    fail(ExitCode::kBadData, "{}: {} RoPE factors for head width {}", origin, rope_factors.size(), head_width);
  }
  if (!(rope_theta > 0) || !(norm_epsilon > 0)) fail(ExitCode::kBadData, "{}: RoPE base or norm epsilon is not positive", origin);
  const kernels::RopeScaling& scaling = rope_scaling;
  if (scaling.llama3 && !(scaling.factor > 0 && scaling.low_frequency_factor > 0 && scaling.original_length > 0 &&
                          scaling.high_frequency_factor > scaling.low_frequency_factor)) {
    fail(ExitCode::kBadData,
         "{}: RoPE scaling: factor {}, frequency factors {} to {}, original length {}; all must be above 0, in order", origin,
         scaling.factor, scaling.low_frequency_factor, scaling.high_frequency_factor, scaling.original_length);
  }
  // Whatever counts weights after this cannot overflow.
  const double w = static_cast<double>(width), q = static_cast<double>(heads) * static_cast<double>(head_width);
  const double count =
      2.0 * static_cast<double>(vocab) * w + static_cast<double>(layers) * w * (4 * q + 3 * static_cast<double>(ffn));
  if (count > kMostWeights) fail(ExitCode::kBadData, "{}: these sizes make {:.0f} weights; no model has so many", origin, count);
}

LlamaConfig parse_hf_config(const std::string& text, const std::string& origin) {
  const Json json = parse_json_object(text, origin);
  const std::string kind = optional_of_type<std::string>(json, "model_type", "(none)", origin);
  if (kind != "llama")
    fail(ExitCode::kBadData, "{}: model_type is '{}'; thinkrec reads Llama-style models ('llama')", origin, kind);
  if (optional_of_type(json, "attention_bias", false, origin) || optional_of_type(json, "mlp_bias", false, origin)) {
    fail(ExitCode::kBadData, "{}: biases in attention or MLP are not supported", origin);
  }
  if (const auto act = optional_of_type<std::string>(json, "hidden_act", "silu", origin); act != "silu") {
    fail(ExitCode::kBadData, "{}: hidden_act is '{}'; only 'silu' is supported", origin, act);
  }
  LlamaConfig config;
  config.vocab = integer_field(json, "vocab_size", origin);
  config.width = integer_field(json, "hidden_size", origin);
  config.layers = integer_field(json, "num_hidden_layers", origin);
  config.heads = integer_field(json, "num_attention_heads", origin);
  const auto optional_field = [&](const char* key, std::int64_t otherwise) {
    return json.contains(key) && !json[key].is_null() ? integer_field(json, key, origin) : otherwise;
  };
  config.kv_heads = optional_field("num_key_value_heads", config.heads);
  config.head_width = optional_field("head_dim", config.heads > 0 ? config.width / config.heads : 0);
  config.ffn = integer_field(json, "intermediate_size", origin);
  config.max_positions = optional_field("max_position_embeddings", 2048);
  config.norm_epsilon = static_cast<float>(real_field(json, "rms_norm_eps", 1e-6, origin));
  config.tied_head = optional_of_type(json, "tie_word_embeddings", false, origin);
  config.rope_theta = real_field(json, "rope_theta", 10000, origin);  // v4
  for (const char* key : {"rope_scaling", "rope_parameters"}) {       // v4, v5
    if (json.contains(key) && json[key].is_object()) read_rope(json[key], config, origin);
  }
  config.check(origin);
  return config;
}

LlamaConfig gguf_config(const GgufFile& file) {
  const auto& architecture = file.get<std::string>("general.architecture");
  if (architecture != "llama") {
    fail(ExitCode::kBadData, "{}: architecture is '{}'; thinkrec reads Llama-style models ('llama')", file.path(), architecture);
  }
  const auto integer = [&](const char* key) { return file.get<std::int64_t>(key); };
  LlamaConfig config;
  config.width = integer("llama.embedding_length");
  config.layers = integer("llama.block_count");
  config.heads = integer("llama.attention.head_count");
  config.kv_heads = file.has("llama.attention.head_count_kv") ? integer("llama.attention.head_count_kv") : config.heads;
  config.ffn = integer("llama.feed_forward_length");
  config.max_positions = integer("llama.context_length");
  config.norm_epsilon = static_cast<float>(file.get<double>("llama.attention.layer_norm_rms_epsilon"));
  if (file.has("llama.rope.freq_base")) config.rope_theta = file.get<double>("llama.rope.freq_base");
  if (config.heads > 0) {
    config.head_width =
        file.has("llama.attention.key_length") ? integer("llama.attention.key_length") : config.width / config.heads;
  }
  if (file.has("llama.rope.dimension_count") && integer("llama.rope.dimension_count") != config.head_width) {
    fail(ExitCode::kBadData, "{}: RoPE over {} of {} dimensions of a head is not supported", file.path(),
         integer("llama.rope.dimension_count"), config.head_width);
  }
  refuse_rope_scaling(file);
  const auto& embedding = file.tensor("token_embd.weight");
  if (embedding.shape.size() != 2) fail(ExitCode::kBadData, "{}: token_embd.weight is not a matrix", file.path());
  config.vocab = embedding.shape[0];
  config.tied_head = true;
  for (const auto& tensor : file.tensors()) {
    if (tensor.name == "output.weight") config.tied_head = false;
    if (tensor.name.starts_with("blk.") && tensor.name.ends_with(".bias")) {
      fail(ExitCode::kBadData, "{}: tensor '{}': biases in attention or MLP are not supported", file.path(),
           printable(tensor.name));
    }
    if (tensor.name == "rope_freqs.weight") {
      if (tensor.elements > 1 << 16)
        fail(ExitCode::kBadData, "{}: rope_freqs.weight has {} elements", file.path(), tensor.elements);
      config.rope_factors.resize(static_cast<std::size_t>(tensor.elements));
      file.read(tensor, config.rope_factors.data());
    }
  }
  config.check(file.path());
  return config;
}

std::vector<std::int32_t> generation_ends(const std::string& model) {
  const std::string path = (std::filesystem::path(model) / "generation_config.json").string();
  std::vector<std::int32_t> ends;
  if (!std::filesystem::exists(path)) return ends;
  const Json json = parse_json_object(read_file(path, 1 << 20), path);
  const Json& given = json_member(json, "eos_token_id");
  for (const Json& id : given.is_array() ? given : given.is_null() ? Json::array() : Json::array({given})) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()))
      fail(ExitCode::kBadData, "{}: field 'eos_token_id' is neither a token's number nor a list of them", path);
    ends.push_back(id.get<std::int32_t>());
  }
  return ends;
}

}  // namespace thinkrec
