#pragma once
// Text from the model: a batch of prompts continued token by token with a KV cache.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/llama.h"
#include "model/sampling.h"

namespace thinkrec {

/// Continues each row of `prompts` (feature slots from `features`, may be undefined), with the settings of all, or [rows] of each. Gives the
/// new tokens of each row. On the CPU this is a Generator (generator.h) in fp32, on a GPU generate_together. Errors as check(config) and
/// Generator::add.
std::vector<std::vector<std::int32_t>> generate(const Llama& model, const ProjectionHook* hook, const PackedBatch& prompts,
                                                const at::Tensor& features, std::span<const GenerateConfig> configs);
inline std::vector<std::vector<std::int32_t>> generate(const Llama& model, const ProjectionHook* hook, const PackedBatch& prompts,
                                                       const at::Tensor& features, const GenerateConfig& config) {
  return generate(model, hook, prompts, features, std::span(&config, 1));
}

/// The same as a GPU runs it, on any device: by the model's own layers (llama.h), all rows together until the last has ended. Of settings
/// that check() takes, and prompts that are not empty. Errors as most_new_tokens.
std::vector<std::vector<std::int32_t>> generate_together(const Llama& model, const ProjectionHook* hook,
                                                         const PackedBatch& prompts, const at::Tensor& features,
                                                         std::span<const GenerateConfig> configs);

}  // namespace thinkrec
