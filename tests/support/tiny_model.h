#pragma once
// A small Llama with random weights, for tests of what stands on a model.

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "model/llama.h"

namespace thinkrec::testing {

/// Sizes that divide nothing in particular; heads is a multiple of kv_heads.
inline LlamaConfig tiny_config(std::int64_t heads = 4, std::int64_t kv_heads = 2, bool tied = true) {
  LlamaConfig config;
  config.vocab = 97;
  config.layers = 3;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.head_width = 6;
  config.width = 20;
  config.ffn = 44;
  config.max_positions = 512;
  config.tied_head = tied;
  return config;
}

/// Normal values of such a size that the model's answers depend on every weight.
inline std::vector<float> random_block(const LlamaConfig& config, unsigned seed) {
  std::vector<float> block(static_cast<std::size_t>(weight_count(config)));
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0, 1.5F / std::sqrt(static_cast<float>(config.width)));
  for (float& value : block) value = normal(generator);
  LlamaWeights weights = view_weights(config, block.data());
  for (LayerWeights& layer : weights.layers) {  // norms scatter around one
    layer.attention_norm.add_(1);
    layer.mlp_norm.add_(1);
  }
  weights.final_norm.add_(1);
  return block;
}

/// The model and the memory of its weights. Not to be copied or moved: the weights are views.
class TinyModel {
 public:
  explicit TinyModel(const LlamaConfig& config, unsigned seed = 1)
      : block_(random_block(config, seed)), model_(config, view_weights(config, block_.data())) {}
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;
  const Llama& operator*() const { return model_; }
  const Llama* operator->() const { return &model_; }

 private:
  std::vector<float> block_;
  Llama model_;
};

/// Rows of these lengths with random tokens; row r has sample id 100 + r. Same seed, same rows.
inline std::vector<std::vector<std::int32_t>> random_rows(const std::vector<std::int64_t>& lengths, std::int64_t vocab,
                                                          unsigned seed) {
  std::mt19937_64 generator(seed);
  std::vector<std::vector<std::int32_t>> rows;
  for (const std::int64_t length : lengths) {
    std::vector<std::int32_t>& row = rows.emplace_back();
    for (std::int64_t i = 0; i < length; ++i)
      row.push_back(static_cast<std::int32_t>(generator() % static_cast<std::uint64_t>(vocab)));
  }
  return rows;
}

inline PackedBatch pack(const std::vector<std::vector<std::int32_t>>& rows) {
  PackedBatch batch;
  for (std::size_t r = 0; r < rows.size(); ++r) batch.add(rows[r], 100 + r);
  return batch;
}

/// Row r of such a batch alone, with the same sample id.
inline PackedBatch alone(const std::vector<std::vector<std::int32_t>>& rows, std::size_t r) {
  PackedBatch batch;
  batch.add(rows[r], 100 + r);
  return batch;
}

}  // namespace thinkrec::testing
