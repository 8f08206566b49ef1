#pragma once
// Text from the model: a batch of prompts continued token by token with a KV cache.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "model/llama.h"

namespace thinkrec {

struct GenerateConfig {
  std::int64_t max_new_tokens = 128;
  std::optional<std::int32_t> eos;   ///< generation of a row ends with it; it is not part of the result
  std::vector<std::int32_t> stop;    ///< further tokens that end a row (end of a chat turn)
  std::vector<std::int32_t> first;   ///< when not empty, the first new token is one of these (a forced choice between verdicts)
  double temperature = 0;            ///< 0: greedy
  std::int64_t no_repeat_ngram = 0;  ///< no n tokens in a row that the new text already has; 0: off
  std::uint64_t seed = 0;            ///< with temperature > 0: row r, token t depends on (seed, sample of the row, t) alone
};

/// Continues each row of `prompts` (feature slots from `features`, may be undefined). Gives the new tokens of each row.
std::vector<std::vector<std::int32_t>> generate(const Llama& model, const ProjectionHook* hook, const PackedBatch& prompts,
                                                const at::Tensor& features, const GenerateConfig& config);

}  // namespace thinkrec
