#include "model/llama.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "model/ops.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kMostPositions = 1 << 17;  // of the table of angles

kernels::RopeTable rope_table(const LlamaConfig& config) {
  auto frequencies = kernels::rope_inverse_frequencies(config.head_width, config.rope_theta, config.rope_scaling);
  for (std::size_t i = 0; i < config.rope_factors.size(); ++i) frequencies[i] /= config.rope_factors[i];
  return kernels::make_rope_table(std::min(config.max_positions, kMostPositions), frequencies);
}

/// Residual stream of a decoder: `sum` plus a `delta` not yet added, so that the next norm adds it in the same pass.
struct Stream {
  at::Tensor sum, delta;
};

}  // namespace

KvCache::KvCache(const LlamaConfig& config, std::int64_t rows, std::int64_t capacity)
    : capacity_(capacity), length_(static_cast<std::size_t>(rows), 0) {
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    keys_.push_back(at::empty({rows, capacity, config.kv_heads, config.head_width}, at::kFloat));
    values_.push_back(at::empty({rows, capacity, config.kv_heads, config.head_width}, at::kFloat));
  }
}

void KvCache::truncate(std::int64_t row, std::int64_t length) {
  THINKREC_CHECK(length >= 0 && length <= this->length(row), "{} of {}", length, this->length(row));
  length_[static_cast<std::size_t>(row)] = length;
}

Llama::Llama(LlamaConfig config, LlamaWeights weights)
    : config_(std::move(config)), weights_(std::move(weights)), rope_(rope_table(config_)) {}

const kernels::RopeTable& Llama::rope(const PackedBatch& batch) const {
  for (const std::uint32_t position : batch.position) {
    if (static_cast<std::int64_t>(position) >= rope_.length) {
      fail(ExitCode::kBadData, "a prompt has more than the model's {} positions; lower prompt.max_tokens or prompt.history",
           rope_.length);
    }
  }
  return rope_;
}

at::Tensor Llama::embed(const PackedBatch& batch, const at::Tensor& features) const {
  return ops::embed_splice(weights_.embedding, features, batch);
}

template <class Attend>
at::Tensor Llama::walk(const at::Tensor& hidden, const PackedBatch& batch, std::int64_t first, std::int64_t last,
                       const ProjectionHook* hook, const at::Tensor& needed, const Attend& attend) const {
  THINKREC_CHECK(0 <= first && first <= last && last <= config_.layers, "layers {}..{} of {}", first, last, config_.layers);
  Stream stream{hidden, {}};
  for (std::int64_t i = first; i < last; ++i) {
    const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(i)];
    auto [sum, x] = ops::rms_norm(stream.delta.defined() ? stream.delta : stream.sum,
                                  stream.delta.defined() ? stream.sum : at::Tensor(), layer.attention_norm, config_.norm_epsilon);
    at::Tensor q = at::linear(x, layer.q), k = at::linear(x, layer.k), v = at::linear(x, layer.v);
    if (hook != nullptr) std::tie(q, v) = hook->apply(i, x, q, v, batch);
    const auto heads = [&](const at::Tensor& flat) { return flat.unflatten(1, {-1, config_.head_width}); };
    at::Tensor attended = attend(i, heads(q), heads(k), heads(v));
    if (i == last - 1 && needed.defined()) {  // the rest of the layer only where it is read
      attended = attended.index_select(0, needed);
      sum = sum.index_select(0, needed);
    }
    const auto [after, y] = ops::rms_norm(at::linear(attended, layer.o), sum, layer.mlp_norm, config_.norm_epsilon);
    stream = {after, at::linear(ops::swiglu(at::linear(y, layer.gate), at::linear(y, layer.up)), layer.down)};
  }
  if (first == last) return needed.defined() ? hidden.index_select(0, needed) : hidden;
  return stream.sum + stream.delta;
}

at::Tensor Llama::layers(const at::Tensor& hidden, const PackedBatch& batch, std::int64_t first, std::int64_t last,
                         const ProjectionHook* hook, const at::Tensor& needed) const {
  const kernels::RopeTable& table = rope(batch);
  return walk(hidden, batch, first, last, hook, needed,
              [&](std::int64_t, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
                return ops::rope_attention(q, k, v, batch, table);
              });
}

at::Tensor Llama::layers_cached(const at::Tensor& hidden, const PackedBatch& batch, const ProjectionHook* hook, KvCache& cache,
                                const at::Tensor& needed) const {
  const at::NoGradGuard no_grad;
  THINKREC_CHECK(batch.rows() == cache.rows(), "{} rows, {} in the cache", batch.rows(), cache.rows());
  const kernels::RopeTable& table = rope(batch);
  const at::Tensor out = walk(hidden, batch, 0, config_.layers, hook, needed,
                              [&](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
                                return ops::cached_attention(q, k, v, batch, table, layer, cache);
                              });
  for (std::int64_t row = 0; row < batch.rows(); ++row) cache.advance(row, batch.length(row));
  return out;
}

at::Tensor Llama::final_norm(const at::Tensor& hidden) const {
  return ops::rms_norm(hidden, {}, weights_.final_norm, config_.norm_epsilon).second;
}

at::Tensor Llama::logits(const at::Tensor& normed) const { return at::linear(normed, weights_.head); }

}  // namespace thinkrec
