#pragma once
// What a step costs, from shapes alone: floating-point operations, and the bytes that model/ops.cpp and autograd hold while it runs.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "train/recipe_phases.h"

namespace thinkrec {

/// A forward and backward pass: what it holds, however its rows are cut.
struct PassShape {
  std::int64_t tokens = 0;  ///< fed to the model
  std::int64_t read = 0;    ///< whose last hidden state a loss reads
  double squares = 0;       ///< sum over the rows of length^2, for attention

  PassShape& operator+=(const PassShape& other);
};

/// What is trained by a pass, and where.
struct PassKind {
  std::int64_t first_layer = 0;  ///< lowest trained layer; those below come ready
  bool train_inputs = false;     ///< gradients reach the embeddings
  std::int64_t lora_rank = 8;    ///< of all adapters that share the pass
  std::int64_t value_bytes = 4;  ///< of an activation: 4 (fp32), 2 (bf16)
  bool on_gpu = false;           ///< there the last layer attends for all tokens
  bool recompute = false;        ///< activation checkpointing
};

/// Multiplications and additions of layers first .. last-1, forward. In the model's last layer only `read` tokens go on behind the keys and
/// values.
double forward_flops(const LlamaConfig& model, const PassShape& pass, std::int64_t first, std::int64_t last,
                     std::int64_t lora_rank);
/// The same forward and backward from kind.first_layer up, with the losses over the vocabulary.
double training_flops(const LlamaConfig& model, const PassShape& pass, const PassKind& kind);

/// Most bytes that a pass holds at once above the weights: what is saved for the backward pass, and the larger of the logits (forward) and
/// the gradients of an MLP (backward).
struct PassBytes {
  std::int64_t saved = 0;
  std::int64_t logits = 0;     ///< a chunk of them, with the hidden state's gradient
  std::int64_t gradients = 0;  ///< in flight in the backward pass
  std::int64_t peak = 0;
};
PassBytes pass_bytes(const LlamaConfig& model, const PassShape& pass, const PassKind& kind);

/// Trained and held values.
std::int64_t lora_values(const LlamaConfig& model, std::int64_t rank, std::int64_t first_layer);
std::int64_t projector_values(std::int64_t d1, std::int64_t d2, std::int64_t expansion);

/// A GPU as its maker describes it.
struct GpuKind {
  std::string_view name;
  double bf16_flops;    ///< dense, per second, on its matrix units
  double memory_bytes;  ///< all of it
};
/// kUsage listing the known ones.
const GpuKind& gpu_kind(std::string_view name);
/// "a10|a100-40|..."; for the option's range.
std::string gpu_names();

}  // namespace thinkrec
