#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/bounded_json.h"
#include "model/bert.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

std::int64_t size_field(const Json& json, const char* key, std::int64_t most, const std::string& origin) {
  const Json& value = json_member(json, key);
  if (!value.is_number_integer() || value.get<std::int64_t>() < 1 || value.get<std::int64_t>() > most)
    fail(ExitCode::kBadData, "{}: field '{}' is missing or not an integer in 1..{}", origin, key, most);
  return value.get<std::int64_t>();
}

BertConfig::Activation read_activation(const std::string& name, const std::string& origin) {
  if (name == "gelu") return BertConfig::Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return BertConfig::Activation::kGeluTanh;
  if (name == "relu") return BertConfig::Activation::kRelu;
  fail(ExitCode::kBadData, "{}: hidden_act is '{}'; gelu, gelu_new, gelu_pytorch_tanh and relu are supported", origin, name);
}

std::int64_t token_field(const Json& json, const char* key) {
  const Json& value = json_member(json, key);
  return value.is_number_unsigned() && value.get<std::uint64_t>() < (1U << 24) ? value.get<std::int64_t>() : -1;
}

}  // namespace

BertConfig parse_bert_config(const std::string& text, const std::string& origin) {
  constexpr std::int64_t kMost = std::int64_t{1} << 20, kMostTokens = std::int64_t{1} << 24;
  const Json json = parse_json_object(text, origin);
  const std::string kind = json_text(json, "model_type", "(none)", origin);
  if (kind != "bert" && kind != "rembert" && kind != "bleurt")
    fail(ExitCode::kBadData, "{}: model_type is '{}'; encoders of type bert, rembert and bleurt are supported", origin, kind);
  if (const auto positions = json_text(json, "position_embedding_type", "absolute", origin); positions != "absolute")
    fail(ExitCode::kBadData, "{}: position_embedding_type is '{}'; only 'absolute' is supported", origin, positions);
  BertConfig config;
  config.vocab = size_field(json, "vocab_size", kMostTokens, origin);
  config.width = size_field(json, "hidden_size", kMost, origin);
  config.layers = size_field(json, "num_hidden_layers", 4096, origin);
  config.heads = size_field(json, "num_attention_heads", kMost, origin);
  config.ffn = size_field(json, "intermediate_size", kMostTokens, origin);
  config.max_positions = size_field(json, "max_position_embeddings", kMost, origin);
  config.types = size_field(json, "type_vocab_size", kMost, origin);
  const char* embedding = kind == "rembert" ? "input_embedding_size" : "embedding_size";
  config.projected = kind == "rembert" || (kind == "bleurt" && !json_member(json, embedding).is_null());
  config.embedding_width = config.projected ? size_field(json, embedding, kMost, origin) : config.width;
  if (config.width % config.heads != 0)
    fail(ExitCode::kBadData, "{}: a hidden size of {} does not divide into {} heads", origin, config.width, config.heads);
  if (const Json& epsilon = json_member(json, "layer_norm_eps"); !epsilon.is_null()) {
    config.norm_epsilon = epsilon.is_number() ? epsilon.get<double>() : -1;
    if (!(config.norm_epsilon >= 0 && config.norm_epsilon < 1))
      fail(ExitCode::kBadData, "{}: field 'layer_norm_eps' is not a number in 0..1", origin);
  }
  config.activation = read_activation(json_text(json, "hidden_act", "gelu", origin), origin);
  config.cls = token_field(json, "bos_token_id");
  config.sep = token_field(json, "eos_token_id");
  return config;
}

}  // namespace thinkrec
