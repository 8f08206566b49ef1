#pragma once
// A Llama-style decoder over packed rows, on one device. It knows no ranks, adapters or experts: what an adapter adds to the
// projections comes in through a ProjectionHook.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/batch.h"
#include "model/config.h"
#include "model/op_kernels.h"
#include "model/weights.h"

namespace thinkrec {

/// Put on from outside: adds to the q and v projections of a layer.
class ProjectionHook {
 public:
  virtual ~ProjectionHook() = default;
  /// x [tokens, width] is the normed input of layer `layer`; q [tokens, heads * head_width] and v [tokens, kv_heads * head_width] are
  /// the base projections, which may be changed in place. Returns what takes their place.
  virtual std::pair<at::Tensor, at::Tensor> apply(std::int64_t layer, const at::Tensor& x, const at::Tensor& q,
                                                  const at::Tensor& v, const DeviceBatch& batch) const = 0;
};

/// Keys (rotated) and values of what was already read, for generation: one entry a row of the batch.
class KvCache {
 public:
  /// `options` says where and as what it is held: as the model's weights are.
  KvCache(const LlamaConfig& config, std::int64_t rows, std::int64_t capacity, at::TensorOptions options = at::kFloat);
  std::int64_t rows() const { return static_cast<std::int64_t>(length_.size()); }
  std::int64_t length(std::int64_t row) const { return length_[static_cast<std::size_t>(row)]; }
  std::int64_t capacity() const { return capacity_; }
  /// The row keeps only its first `length` tokens.
  void truncate(std::int64_t row, std::int64_t length);
  /// [capacity, kv_heads, head_width] of one row and layer.
  at::Tensor keys(std::int64_t layer, std::int64_t row) const { return keys_[static_cast<std::size_t>(layer)][row]; }
  at::Tensor values(std::int64_t layer, std::int64_t row) const { return values_[static_cast<std::size_t>(layer)][row]; }
  void advance(std::int64_t row, std::int64_t tokens) { length_[static_cast<std::size_t>(row)] += tokens; }

 private:
  std::int64_t capacity_;
  std::vector<std::int64_t> length_;
  std::vector<at::Tensor> keys_, values_;  // a layer: [rows, capacity, kv_heads, head_width]
};

class Llama {
 public:
  Llama(LlamaConfig config, LlamaWeights weights);
  const LlamaConfig& config() const { return config_; }
  const LlamaWeights& weights() const { return weights_; }
  /// Where and as what (fp32 or bf16) weights and activations are held.
  at::TensorOptions options() const { return weights_.embedding.options(); }
  at::Device device() const { return weights_.embedding.device(); }
  /// Angles of every position that the model has.
  const RopeTensors& rope_tables() const { return rope_; }
  /// A copy of the model there.
  Llama to(at::TensorOptions options) const;

  /// Token embeddings [tokens, width]; slot s of the batch takes features[s] ([slots, width], may be undefined without slots).
  at::Tensor embed(const PackedBatch& batch, const at::Tensor& features) const;

  /// Runs layers first .. last-1 on hidden [tokens, width]. When `needed` is given, only those token rows (indices into the pack,
  /// in any order) leave the last of these layers: the result is [needed, width]. Grad mode decides whether a graph is built; with
  /// `recompute` it holds only what goes into each layer, and the backward pass runs the layer again (activation checkpointing, Chen et
  /// al. 2016), for which `hook` must live until then. The results are the same; on the CPU to the bit.
  at::Tensor layers(const at::Tensor& hidden, const PackedBatch& batch, std::int64_t first, std::int64_t last,
                    const ProjectionHook* hook, const at::Tensor& needed = {}, bool recompute = false) const;

  /// The same over all layers with a KV cache (inference only): row i of the batch continues row i of the cache, which grows.
  at::Tensor layers_cached(const at::Tensor& hidden, const PackedBatch& batch, const ProjectionHook* hook, KvCache& cache,
                           const at::Tensor& needed) const;

  /// Final norm, [rows, width] -> [rows, width]: what the head reads.
  at::Tensor final_norm(const at::Tensor& hidden) const;
  /// Logits over the vocabulary, [rows, width] -> [rows, vocab], of normed rows.
  at::Tensor logits(const at::Tensor& normed) const;

 private:
  /// Residual stream: `sum` plus a `delta` (may be undefined) not yet added, so that the next norm adds it in the same pass.
  struct Stream {
    at::Tensor sum, delta;
    at::Tensor total() const { return delta.defined() ? sum + delta : sum; }
  };
  /// Layer `number` on a residual stream; `attend(layer, q, k, v, asked)` is the attention, with or without a cache, of the tokens `asked`
  /// (undefined: of all), which alone go on behind it.
  template <class Attend>
  Stream pass(std::int64_t number, const Stream& stream, const DeviceBatch& batch, const ProjectionHook* hook,
              const at::Tensor& asked, const Attend& attend) const;
  /// The residual stream through layers first .. last-1.
  template <class Attend>
  at::Tensor walk(const at::Tensor& hidden, const DeviceBatch& batch, std::int64_t first, std::int64_t last,
                  const ProjectionHook* hook, const at::Tensor& needed, bool recompute, const Attend& attend) const;
  /// The tables of angles; kBadData when the batch is longer than them.
  const RopeTensors& rope(const PackedBatch& batch) const;

  LlamaConfig config_;
  LlamaWeights weights_;
  RopeTensors rope_;
};

}  // namespace thinkrec
