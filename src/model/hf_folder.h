#pragma once
// Models as Hugging Face folders: config.json and safetensors, for transformers and whatever else reads them.

#include <cstdint>
#include <optional>
#include <string>

#include "io/safetensors.h"
#include "model/weights.h"

namespace thinkrec {

struct HfFolderOptions {
  SavedType type = SavedType::kF32;
  std::uint64_t shard_bytes = std::uint64_t{5} << 30;  ///< a file holds at most so much, or one tensor
  std::optional<std::int32_t> bos, eos;                ///< of the tokenizer
};

/// Writes config.json, generation_config.json and model.safetensors (or shards with their index) of fp32 weights on the CPU; makes the
/// folder. kIo naming the path; kBadData for RoPE factors of a GGUF file, which config.json has no field for.
void save_hf_folder(const std::string& folder, const LlamaConfig& config, const LlamaWeights& weights,
                    const HfFolderOptions& options);

}  // namespace thinkrec
