#pragma once
// The shape of a Llama-style model, read from a Hugging Face config.json (v4 and v5 spellings) or from GGUF metadata.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/rope.h"

namespace thinkrec {

struct LlamaConfig {
  std::int64_t vocab = 0;
  std::int64_t width = 0;  ///< hidden size d2
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_width = 0;
  std::int64_t ffn = 0;  ///< intermediate size of the MLP
  float norm_epsilon = 1e-5F;
  double rope_theta = 10000;
  kernels::RopeScaling rope_scaling;
  std::vector<float> rope_factors;  ///< GGUF's rope_freqs.weight: divides the inverse frequencies; empty = none
  std::int64_t max_positions = 2048;
  bool tied_head = true;

  /// kBadData naming `origin` and the field when a size is missing, negative, or does not divide as it must.
  void check(const std::string& origin) const;
};

class GgufFile;

/// From the text of a config.json. Other architectures than Llama are refused by name (kBadData).
LlamaConfig parse_hf_config(const std::string& json, const std::string& origin);
/// The same of a GGUF file, RoPE scaling other than Llama 3's and biases being refused as there.
LlamaConfig gguf_config(const GgufFile& file);

/// Tokens that end a text by the eos_token_id, one or a list, of the generation_config.json in a model's folder; none where there is no such
/// file. kBadData for one that is no number of a token.
std::vector<std::int32_t> generation_ends(const std::string& model);

}  // namespace thinkrec
