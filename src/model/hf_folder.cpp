#include "model/hf_folder.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/file.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json id_or_null(const std::optional<std::int32_t>& id) { return id ? Json(*id) : Json(nullptr); }

Json config_json(const LlamaConfig& config, const HfFolderOptions& options) {
  Json json = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", "llama"},
               {"vocab_size", config.vocab},
               {"hidden_size", config.width},
               {"intermediate_size", config.ffn},
               {"num_hidden_layers", config.layers},
               {"num_attention_heads", config.heads},
               {"num_key_value_heads", config.kv_heads},
               {"head_dim", config.head_width},
               {"hidden_act", "silu"},
               {"max_position_embeddings", config.max_positions},
               {"rms_norm_eps", config.norm_epsilon},
               {"rope_theta", config.rope_theta},
               {"rope_scaling", nullptr},
               {"attention_bias", false},
               {"mlp_bias", false},
               {"tie_word_embeddings", config.tied_head},
               {"bos_token_id", id_or_null(options.bos)},
               {"eos_token_id", id_or_null(options.eos)},
               {"torch_dtype", options.type == SavedType::kF32 ? "float32" : "bfloat16"}};
  if (const kernels::RopeScaling& scaling = config.rope_scaling; scaling.llama3) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", scaling.factor},
                            {"low_freq_factor", scaling.low_frequency_factor},
                            {"high_freq_factor", scaling.high_frequency_factor},
                            {"original_max_position_embeddings", static_cast<std::int64_t>(scaling.original_length)}};
  }
  return json;
}

}  // namespace

void save_hf_folder(const std::string& folder, const LlamaConfig& config, const LlamaWeights& weights,
                    const HfFolderOptions& options) {
  if (!config.rope_factors.empty()) {
    fail(ExitCode::kBadData,
         "{}: the model is a GGUF file with RoPE factors of its own, which config.json has no field for; start from its Hugging "
         "Face folder",
         folder);
  }
  make_folder(folder);
  const auto path = [&](const std::string& name) { return (fs::path(folder) / name).string(); };

  std::vector<std::vector<SafetensorsTensor>> shards(1);
  std::uint64_t size = 0, total = 0;
  for (const NamedWeight& weight : named_weights(config, weights)) {
    THINKREC_CHECK(weight.tensor.is_contiguous() && weight.tensor.is_cpu() && weight.tensor.scalar_type() == at::kFloat, "{}",
                   weight.hf);
    const std::uint64_t bytes = static_cast<std::uint64_t>(weight.tensor.numel()) * (options.type == SavedType::kF32 ? 4 : 2);
    if (size > 0 && size + bytes > options.shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    size += bytes;
    total += bytes;
    shards.back().push_back({weight.hf, weight.tensor.sizes().vec(), weight.tensor.const_data_ptr<float>()});
  }
  Json where = Json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name =
        shards.size() == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const SafetensorsTensor& tensor : shards[i]) where[tensor.name] = name;
    write_safetensors(path(name), std::move(shards[i]), {{"format", "pt"}}, options.type);
  }
  if (shards.size() > 1) {
    const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", where}};
    write_file_atomic(path("model.safetensors.index.json"), index.dump(2) + "\n");
  }
  write_file_atomic(path("config.json"), config_json(config, options).dump(2) + "\n");
  const Json generation = {{"bos_token_id", id_or_null(options.bos)}, {"eos_token_id", id_or_null(options.eos)}};
  write_file_atomic(path("generation_config.json"), generation.dump(2) + "\n");
}

}  // namespace thinkrec
