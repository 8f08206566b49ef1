#pragma once
// LoRA on q_proj and v_proj (Hu et al. 2021): W x becomes W x + scale * B A x, with W frozen.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/llama.h"
#include "model/ops.h"

namespace thinkrec {

struct LoraConfig {
  std::int64_t lora_rank = 8;
  double alpha = 16;
  double dropout = 0.05;
  double scale() const { return alpha / static_cast<double>(lora_rank); }
};

/// A parameter by name; names are those of PEFT without its prefix: "layers.3.self_attn.q_proj.lora_A".
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// The factors of all layers. Values are shared by copies of the object; clone() copies them.
class LoraAdapter {
 public:
  struct Layer {
    ops::LoraFactors q, v;  ///< a [rank, width], b [out, rank]; b already carries no scale
    double scale = 1;       ///< of this layer's product
  };

  LoraAdapter() = default;
  /// A uniform in +-1/sqrt(width) (kaiming, a = sqrt 5, as PEFT), B zero. The values depend on the seed alone.
  LoraAdapter(const LlamaConfig& model, const LoraConfig& config, std::uint64_t seed);
  /// From layers made elsewhere (a merged adapter, an imported one).
  explicit LoraAdapter(std::vector<Layer> layers) : layers_(std::move(layers)) {}

  LoraAdapter clone() const;
  /// A copy on the device; factors stay fp32.
  LoraAdapter to(at::Device device) const;
  std::int64_t layer_count() const { return static_cast<std::int64_t>(layers_.size()); }
  const Layer& layer(std::int64_t i) const { return layers_[static_cast<std::size_t>(i)]; }
  /// The parameters of layers first .. last-1, in order.
  NamedTensors named(std::int64_t first, std::int64_t last) const;
  NamedTensors named() const { return named(0, layer_count()); }
  /// Copies values in by name. kBadData naming `origin` and the tensor when one is missing or of another shape.
  void load(const NamedTensors& values, const std::string& origin);

 private:
  std::vector<Layer> layers_;
};

/// The exact weighted sum of adapters (paper, Eq. 10): sum_n w_n B_n A_n for each layer >= first_layer, by stacking the factors along the
/// rank (concatenate A_n, concatenate w_n s_n B_n) — never by averaging the factors. Layers below first_layer are those of the first
/// adapter, which all experts share.
LoraAdapter merge_adapters(const std::vector<LoraAdapter>& adapters, const std::vector<double>& weights,
                           std::int64_t first_layer);

/// The weights with the adapter's products added to q and v (fp32, on the CPU; the others are shared with `base`), so that a plain model
/// does what base and adapter do together.
LlamaWeights merge_into(const LlamaWeights& base, const LoraAdapter& adapter);

/// Puts an adapter on a model. Layers >= dropout_from see dropout, the frozen ones below do not.
class LoraHook final : public ProjectionHook {
 public:
  /// For inference: no dropout anywhere.
  explicit LoraHook(const LoraAdapter& adapter) : adapter_(adapter), dropout_from_(adapter.layer_count()) {}
  LoraHook(const LoraAdapter& adapter, double dropout, std::int64_t dropout_from, std::uint64_t seed, std::int64_t step)
      : adapter_(adapter), dropout_(dropout), dropout_from_(dropout_from), seed_(seed), step_(step) {}

  std::pair<at::Tensor, at::Tensor> apply(std::int64_t layer, const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const DeviceBatch& batch) const override;

 private:
  const LoraAdapter& adapter_;
  double dropout_ = 0;
  std::int64_t dropout_from_ = 0;
  std::uint64_t seed_ = 0;
  std::int64_t step_ = 0;
};

/// Puts several adapters of one rank on a model at once: each token of a batch takes its own weighted sum of them
/// (kernels/lora_mixture.h). With one-hot weights they are trained side by side over one base, as each would be alone.
class MixtureHook final : public ProjectionHook {
 public:
  /// weight [tokens, adapters] fp32, on the model's device, or [1, adapters] for all tokens. Dropout in all layers; none with `dropout` 0.
  MixtureHook(std::vector<const LoraAdapter*> adapters, at::Tensor weight, double dropout, std::uint64_t seed, std::int64_t step)
      : adapters_(std::move(adapters)), weight_(std::move(weight)), dropout_(dropout), seed_(seed), step_(step) {}

  std::pair<at::Tensor, at::Tensor> apply(std::int64_t layer, const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const DeviceBatch& batch) const override;

 private:
  std::vector<const LoraAdapter*> adapters_;
  at::Tensor weight_;
  double dropout_;
  std::uint64_t seed_;
  std::int64_t step_;
};

}  // namespace thinkrec
