#pragma once
// The frozen weights of the base model: one block of fp32 that ranks of a node can share, and named views into it.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"

namespace thinkrec {

struct LayerWeights {
  at::Tensor attention_norm;  ///< [width]
  at::Tensor q;               ///< [heads * head_width, width]
  at::Tensor k, v;            ///< [kv_heads * head_width, width]
  at::Tensor o;               ///< [width, heads * head_width]
  at::Tensor mlp_norm;        ///< [width]
  at::Tensor gate, up;        ///< [ffn, width]
  at::Tensor down;            ///< [width, ffn]
};

struct LlamaWeights {
  at::Tensor embedding;  ///< [vocab, width]
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  ///< [width]
  at::Tensor head;        ///< [vocab, width]; the embedding itself when tied
};

/// Number of floats that the weights take in one block (each tensor begins on a multiple of 16).
std::int64_t weight_count(const LlamaConfig& config);

/// Views into `block` (weight_count floats, fp32, in the layout of this file); the caller keeps it alive. nullptr: shapes alone.
LlamaWeights view_weights(const LlamaConfig& config, float* block);

/// A tensor by its Hugging Face and GGUF names.
struct NamedWeight {
  std::string hf, gguf;
  at::Tensor tensor;
  std::int64_t permuted_heads = 0;  ///< of q and k: llama.cpp stores their rows in another order
};

/// In block order; without the head where it is tied.
std::vector<NamedWeight> named_weights(const LlamaConfig& config, const LlamaWeights& weights);

/// A model on disk: a Hugging Face folder (config.json, *.safetensors with or without index) or a .gguf file.
/// Opening reads only headers and holds the tensors' names and shapes to the configuration. Errors: kNoInput, kBadData naming file and tensor.
class ModelSource {
 public:
  static std::unique_ptr<ModelSource> open(const std::string& path);
  virtual ~ModelSource() = default;
  virtual const LlamaConfig& config() const = 0;
  /// Reads all weights, converted to fp32, into `block` of weight_count floats. q and k rows in Hugging Face order.
  void read(float* block) const { read_part(block, 0, 1); }
  /// Of the tensors one in `parts`, each in its place: `parts` processes fill a block that they share.
  virtual void read_part(float* block, int part, int parts) const = 0;
  /// The files with the weights. What tells two models apart: a SHA-256 of the settings and of the files' own SHA-256s (sha256_file).
  virtual std::vector<std::string> weight_files() const = 0;
  virtual std::string hash_of(std::span<const std::string> file_hashes) const = 0;
  std::string hash() const;
};

}  // namespace thinkrec
