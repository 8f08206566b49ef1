// Readers of base models: Hugging Face folders and GGUF files, into the block layout of weights.h.

#include <filesystem>
#include <map>

#include "core/error.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/weights.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

/// The tensors of a model in block order: Hugging Face name, GGUF name, where it goes, heads if llama.cpp permutes its rows.
struct Slot {
  std::string hf, gguf;
  at::Tensor to;
  std::int64_t permuted_heads = 0;
};

std::vector<Slot> slots(const LlamaConfig& config, const LlamaWeights& weights) {
  std::vector<Slot> all = {{"model.embed_tokens.weight", "token_embd.weight", weights.embedding, 0}};
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const LayerWeights& layer = weights.layers[static_cast<std::size_t>(i)];
    const std::string hf = fmt::format("model.layers.{}.", i), gguf = fmt::format("blk.{}.", i);
    all.push_back({hf + "input_layernorm.weight", gguf + "attn_norm.weight", layer.attention_norm});
    all.push_back({hf + "self_attn.q_proj.weight", gguf + "attn_q.weight", layer.q, config.heads});
    all.push_back({hf + "self_attn.k_proj.weight", gguf + "attn_k.weight", layer.k, config.kv_heads});
    all.push_back({hf + "self_attn.v_proj.weight", gguf + "attn_v.weight", layer.v});
    all.push_back({hf + "self_attn.o_proj.weight", gguf + "attn_output.weight", layer.o});
    all.push_back({hf + "post_attention_layernorm.weight", gguf + "ffn_norm.weight", layer.mlp_norm});
    all.push_back({hf + "mlp.gate_proj.weight", gguf + "ffn_gate.weight", layer.gate});
    all.push_back({hf + "mlp.up_proj.weight", gguf + "ffn_up.weight", layer.up});
    all.push_back({hf + "mlp.down_proj.weight", gguf + "ffn_down.weight", layer.down});
  }
  all.push_back({"model.norm.weight", "output_norm.weight", weights.final_norm});
  if (!config.tied_head) all.push_back({"lm_head.weight", "output.weight", weights.head});
  return all;
}

void check_shape(const std::string& origin, const std::string& name, const std::vector<std::int64_t>& shape,
                 const at::Tensor& to) {
  if (at::IntArrayRef(shape) != to.sizes()) {
    fail(ExitCode::kBadData, "{}: tensor '{}' has shape [{}], the configuration asks for [{}]", origin, name,
         fmt::join(shape, ", "), fmt::join(to.sizes(), ", "));
  }
}

/// llama.cpp stores a head's rows as (pair, half); Hugging Face as (half, pair).
void unpermute_rows(const at::Tensor& matrix, std::int64_t heads) {
  const std::int64_t rows = matrix.size(0), width = matrix.size(1), half = rows / heads / 2;
  matrix.copy_(matrix.view({heads, half, 2, width}).transpose(1, 2).reshape({rows, width}));
}

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(const std::string& path) : file_(path), config_(gguf_config(file_)) {
    for (const Slot& slot : slots(config_, view_weights(config_, nullptr))) tensor_of(slot);
  }
  const LlamaConfig& config() const override { return config_; }

  void read(float* block) const override {
    const at::NoGradGuard no_grad;
    for (const Slot& slot : slots(config_, view_weights(config_, block))) {
      file_.read(tensor_of(slot), slot.to.mutable_data_ptr<float>());
      if (slot.permuted_heads > 0) unpermute_rows(slot.to, slot.permuted_heads);
    }
  }

  std::string hash() const override { return sha256_file(file_.path()); }

 private:
  const GgufTensor& tensor_of(const Slot& slot) const {
    const GgufTensor& tensor = file_.tensor(slot.gguf);
    check_shape(file_.path(), slot.gguf, tensor.shape, slot.to);
    return tensor;
  }

  GgufFile file_;
  LlamaConfig config_;
};

class HfSource final : public ModelSource {
 public:
  explicit HfSource(const std::string& folder) : folder_(folder) {
    const std::string origin = (fs::path(folder) / "config.json").string();
    config_text_ = read_file(origin, 1 << 20);
    config_ = parse_hf_config(config_text_, origin);
    for (const std::string& shard : safetensors_shards(folder_)) files_.emplace_back((fs::path(folder) / shard).string());
    for (std::size_t f = 0; f < files_.size(); ++f) {
      for (const auto& entry : files_[f].entries()) {
        if (!where_.emplace(entry.name, f).second) {
          fail(ExitCode::kBadData, "{}: tensor '{}' is in another shard as well", files_[f].path(), entry.name);
        }
      }
    }
    for (const Slot& slot : slots(config_, view_weights(config_, nullptr))) place_of(slot);
  }
  const LlamaConfig& config() const override { return config_; }

  void read(float* block) const override {
    for (const Slot& slot : slots(config_, view_weights(config_, block))) {
      const auto [file, entry] = place_of(slot);
      file->read(*entry, slot.to.mutable_data_ptr<float>());
    }
  }

  std::string hash() const override {
    std::string all = config_text_;
    for (const auto& file : files_) all += sha256_file(file.path());
    return sha256_hex(all);
  }

 private:
  std::pair<const SafetensorsFile*, const SafetensorsEntry*> place_of(const Slot& slot) const {
    const auto found = where_.find(slot.hf);
    if (found == where_.end()) fail(ExitCode::kBadData, "{}: tensor '{}' is missing", folder_, slot.hf);
    const SafetensorsFile& file = files_[found->second];
    const SafetensorsEntry* entry = file.find(slot.hf);
    check_shape(file.path(), slot.hf, entry->shape, slot.to);
    return {&file, entry};
  }

  std::string folder_, config_text_;
  LlamaConfig config_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, std::size_t> where_;
};

}  // namespace

std::unique_ptr<ModelSource> ModelSource::open(const std::string& path) {
  if (!fs::exists(path)) {
    fail(ExitCode::kNoInput,
         "{}: no such model; give a Hugging Face folder or a .gguf file (launch/setup.sh fetches the embedded one)", path);
  }
  if (fs::is_directory(path)) return std::make_unique<HfSource>(path);
  return std::make_unique<GgufSource>(path);
}

}  // namespace thinkrec
