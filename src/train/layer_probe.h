#pragma once
// How fast this machine trains: one layer of a model's own shape, timed on the spot.

#include "train/forecast.h"

namespace thinkrec {

struct LayerRate {
  double flops_per_second = 0;  ///< of a trained layer, forward and backward, with its adapters
  double seconds = 0;           ///< that one pass took
  std::int64_t tokens = 0;      ///< of the pass
};

/// Trains one layer with random weights on rows of `row_tokens` up to `tokens`, or fewer where a pass would take longer than about a
/// second; the median of a few passes with the current number of threads. On the CPU, in fp32.
LayerRate measure_layer(const LlamaConfig& model, std::int64_t tokens, std::int64_t row_tokens, std::int64_t lora_rank);

}  // namespace thinkrec
