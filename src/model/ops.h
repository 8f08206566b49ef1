#pragma once
// The step's operations as autograd functions over kernels/, one for each op; op_kernels.h chooses the kernel by where the tensors
// lie. Activations are contiguous, fp32 or, on a GPU, bf16; adapters, features and losses are fp32. Matrix products are libtorch's, but
// in fp32 on CPUs with bf16 tiles (kernels/split_product.h) or AVX-512 (kernels/fp32_product.h); attention on GPUs is libtorch's.

#include <ATen/core/Tensor.h>

#include <functional>
#include <utility>
#include <vector>

#include "kernels/views.h"
#include "model/batch.h"
#include "model/op_kernels.h"

namespace thinkrec {
class KvCache;
}

namespace thinkrec::ops {

/// (x + residual, rms_norm(x + residual) * weight); without residual (undefined) (x, rms_norm(x) * weight).
std::pair<at::Tensor, at::Tensor> rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                                           float epsilon);

/// x W^T, [tokens, width] -> [tokens, out], with a frozen weight [out, width]: gradient to x only. In fp32, unless
/// run.matmul_precision says otherwise. With `asked` (rows of x, any order) only theirs are made, and the others are 0.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& asked = {});

/// What the products of this thread keep on a CPU to work in, after one of x [rows, inner] and a weight of `outs` rows. 0 without products of
/// our own.
std::int64_t product_workspace_bytes(std::int64_t rows, std::int64_t inner, std::int64_t outs, int threads);

/// silu(gate) * up.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

/// Causal self-attention over packed rows, RoPE included. q [tokens, heads, head_width], k and v [tokens, kv_heads, head_width];
/// q and k are rotated in place: nobody else may read them after. Gives [tokens, heads * head_width]; with `needed` (tokens, any order)
/// only what those tokens see, [needed, heads * head_width].
at::Tensor rope_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const DeviceBatch& batch,
                          const RopeTensors& rope, const at::Tensor& needed = {});

/// The same for generation, without a graph: row i of the batch follows what row i of the cache holds for this layer; the new keys
/// and values are stored behind it (the cache's lengths are the caller's to advance). kInternal when the cache is full.
at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const DeviceBatch& batch,
                            const RopeTensors& rope, std::int64_t layer, KvCache& cache);

/// A LoRA adapter's two factors for one projection: a [rank, width], b [out, rank]; of several experts stacked, a [experts, rank,
/// width], b [experts, out, rank].
struct LoraFactors {
  at::Tensor a, b;
};

/// Adds scale * dropout(x) A^T B^T to q and to v in place and gives them back as part of the graph (Hu et al. 2021). With
/// `expert_weight` [tokens, experts] the factors are stacked and each token takes its own weighted sum of experts (kernels/lora_mixture.h);
/// the weights get no gradient.
std::pair<at::Tensor, at::Tensor> lora_qv(const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const LoraFactors& q_factors, const LoraFactors& v_factors, float scale,
                                          const DeviceBatch& batch, const kernels::DropoutKey& dropout,
                                          const at::Tensor& expert_weight = {});

/// Token embeddings, with the projected features at their slots; gradient to the features only. features (fp32) may be
/// undefined. kInternal for a token outside the embedding or a slot without a feature.
at::Tensor embed_splice(const at::Tensor& embedding, const at::Tensor& features, const PackedBatch& batch);

/// layer(hidden) [tokens, width] of which the graph holds `hidden` alone: the backward pass runs `layer` again, with a graph, and through
/// it (activation checkpointing, Chen et al. 2016). `layer` must give the same twice.
at::Tensor recomputed(std::function<at::Tensor(const at::Tensor&)> layer, const at::Tensor& hidden);

/// A loss summed with weights, and its unweighted value for each row.
struct WeightedLoss {
  at::Tensor total;  ///< [] = sum of weight * loss, with gradient to hidden
  at::Tensor rows;   ///< [rows] unweighted, no gradient
  at::Tensor logit;  ///< [rows] of yes_bce: the raw Yes logit; undefined for the others
};

/// Binary cross-entropy of the Yes logit hidden . yes_weight (paper, Eq. 6). hidden [rows, width], yes_weight [width],
/// label and weight [rows]; weight 0 leaves a row out.
WeightedLoss yes_bce(const at::Tensor& hidden, const at::Tensor& yes_weight, const at::Tensor& label, const at::Tensor& weight);

/// Logits of linear_cross_entropy that exist at a time: fewer, and the head is read too often.
inline constexpr std::int64_t kChunkLogits = 1 << 24;

/// Cross-entropy of the tokens `target` [rows] int64 under softmax(hidden head^T) (paper, Eq. 5), in chunks of rows: the logits of
/// all rows never exist at once. head [vocab, width] is frozen.
WeightedLoss linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& target,
                                  const at::Tensor& weight);

}  // namespace thinkrec::ops
