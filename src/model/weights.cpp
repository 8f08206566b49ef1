#include "model/weights.h"

#include <ATen/ops/from_blob.h>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kAlign = 16;  // floats: each tensor starts on a cache line of the block

std::int64_t aligned(std::int64_t floats) { return (floats + kAlign - 1) / kAlign * kAlign; }

/// Walks the block in its fixed order; `take(shape...)` gives the next view.
class BlockWalker {
 public:
  explicit BlockWalker(float* block) : block_(block) {}
  at::Tensor take(std::int64_t rows, std::int64_t columns = 0) {
    float* here = block_ == nullptr ? nullptr : block_ + offset_;
    offset_ += aligned(columns == 0 ? rows : rows * columns);
    return columns == 0 ? at::from_blob(here, {rows}, at::kFloat) : at::from_blob(here, {rows, columns}, at::kFloat);
  }

 private:
  float* block_;
  std::int64_t offset_ = 0;
};

}  // namespace

std::int64_t weight_count(const LlamaConfig& c) {
  const std::int64_t q = c.heads * c.head_width, kv = c.kv_heads * c.head_width;
  const std::int64_t layer =
      2 * aligned(c.width) + 2 * aligned(c.width * q) + 2 * aligned(c.width * kv) + 3 * aligned(c.width * c.ffn);
  return aligned(c.vocab * c.width) * (c.tied_head ? 1 : 2) + c.layers * layer + aligned(c.width);
}

LlamaWeights view_weights(const LlamaConfig& c, float* block) {
  const std::int64_t q = c.heads * c.head_width, kv = c.kv_heads * c.head_width;
  BlockWalker walk(block);
  LlamaWeights weights;
  weights.embedding = walk.take(c.vocab, c.width);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    LayerWeights layer;
    layer.attention_norm = walk.take(c.width);
    layer.q = walk.take(q, c.width);
    layer.k = walk.take(kv, c.width);
    layer.v = walk.take(kv, c.width);
    layer.o = walk.take(c.width, q);
    layer.mlp_norm = walk.take(c.width);
    layer.gate = walk.take(c.ffn, c.width);
    layer.up = walk.take(c.ffn, c.width);
    layer.down = walk.take(c.width, c.ffn);
    weights.layers.push_back(layer);
  }
  weights.final_norm = walk.take(c.width);
  weights.head = c.tied_head ? weights.embedding : walk.take(c.vocab, c.width);
  return weights;
}

std::vector<NamedWeight> named_weights(const LlamaConfig& config, const LlamaWeights& weights) {
  std::vector<NamedWeight> all = {{"model.embed_tokens.weight", "token_embd.weight", weights.embedding, 0}};
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

}  // namespace thinkrec
