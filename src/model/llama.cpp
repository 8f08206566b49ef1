#include "model/llama.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "model/ops.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kMostPositions = 1 << 17;  // of the table of angles

RopeTensors rope_tensors(const LlamaConfig& config, at::Device device) {
  auto frequencies = kernels::rope_inverse_frequencies(config.head_width, config.rope_theta, config.rope_scaling);
  for (std::size_t i = 0; i < config.rope_factors.size(); ++i) frequencies[i] /= config.rope_factors[i];
  return to_device(kernels::make_rope_table(std::min(config.max_positions, kMostPositions), frequencies), device);
}

}  // namespace

KvCache::KvCache(const LlamaConfig& config, std::int64_t rows, std::int64_t capacity, at::TensorOptions options)
    : capacity_(capacity), length_(static_cast<std::size_t>(rows), 0) {
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    keys_.push_back(at::empty({rows, capacity, config.kv_heads, config.head_width}, options));
    values_.push_back(at::empty({rows, capacity, config.kv_heads, config.head_width}, options));
  }
}

void KvCache::truncate(std::int64_t row, std::int64_t length) {
  THINKREC_CHECK(length >= 0 && length <= this->length(row), "{} of {}", length, this->length(row));
  length_[static_cast<std::size_t>(row)] = length;
}

Llama::Llama(LlamaConfig config, LlamaWeights weights)
    : config_(std::move(config)), weights_(std::move(weights)), rope_(rope_tensors(config_, weights_.embedding.device())) {}

Llama Llama::to(at::TensorOptions options) const {
  // Across in its own type, and converted there: libtorch would convert first, on one core.
  const auto copy = [&](const at::Tensor& tensor) {
    return tensor.to(options.dtype(tensor.dtype()), /*non_blocking=*/false, /*copy=*/true).to(options);
  };
  LlamaWeights there;
  there.embedding = copy(weights_.embedding);
  for (const LayerWeights& layer : weights_.layers) {
    there.layers.push_back({copy(layer.attention_norm), copy(layer.q), copy(layer.k), copy(layer.v), copy(layer.o),
                            copy(layer.mlp_norm), copy(layer.gate), copy(layer.up), copy(layer.down)});
  }
  there.final_norm = copy(weights_.final_norm);
  there.head = config_.tied_head ? there.embedding : copy(weights_.head);
  return Llama(config_, std::move(there));
}

const RopeTensors& Llama::rope(const PackedBatch& batch) const {
  for (const std::uint32_t position : batch.position) {
    if (static_cast<std::int64_t>(position) >= rope_.length()) {
      fail(ExitCode::kBadData, "a prompt has more than the model's {} positions; lower prompt.max_tokens or prompt.history",
           rope_.length());
    }
  }
  return rope_;
}

at::Tensor Llama::embed(const PackedBatch& batch, const at::Tensor& features) const {
  return ops::embed_splice(weights_.embedding, features, batch);
}

template <class Attend>
Llama::Stream Llama::pass(std::int64_t number, const Stream& stream, const DeviceBatch& batch, const ProjectionHook* hook,
                          const at::Tensor& asked, const Attend& attend) const {
  const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(number)];
  auto [sum, x] = ops::rms_norm(stream.delta.defined() ? stream.delta : stream.sum,
                                stream.delta.defined() ? stream.sum : at::Tensor(), layer.attention_norm, config_.norm_epsilon);
  at::Tensor q = ops::linear(x, layer.q, asked), k = ops::linear(x, layer.k), v = ops::linear(x, layer.v);
  if (hook != nullptr) std::tie(q, v) = hook->apply(number, x, q, v, batch);
  const auto heads = [&](const at::Tensor& flat) { return flat.unflatten(1, {-1, config_.head_width}); };
  const at::Tensor attended = attend(number, heads(q), heads(k), heads(v), asked);
  if (asked.defined()) sum = sum.index_select(0, asked);
  const auto [after, y] = ops::rms_norm(ops::linear(attended, layer.o), sum, layer.mlp_norm, config_.norm_epsilon);
  return {after, ops::linear(ops::swiglu(ops::linear(y, layer.gate), ops::linear(y, layer.up)), layer.down)};
}

template <class Attend>
at::Tensor Llama::walk(const at::Tensor& hidden, const DeviceBatch& batch, std::int64_t first, std::int64_t last,
                       const ProjectionHook* hook, const at::Tensor& needed, bool recompute, const Attend& attend) const {
  THINKREC_CHECK(0 <= first && first <= last && last <= config_.layers, "layers {}..{} of {}", first, last, config_.layers);
  if (first == last) return needed.defined() ? hidden.index_select(0, needed) : hidden;
  Stream stream{hidden, {}};
  for (std::int64_t i = first; i < last; ++i) {
    const at::Tensor asked = i == last - 1 ? needed : at::Tensor();  // what follows the keys and values, only where it is read
    if (recompute) {
      const auto layer = [=, this](const at::Tensor& into) { return pass(i, {into, {}}, batch, hook, asked, attend).total(); };
      stream = {ops::recomputed(layer, stream.sum), {}};
    } else {
      stream = pass(i, stream, batch, hook, asked, attend);
    }
  }
  return stream.total();
}

at::Tensor Llama::layers(const at::Tensor& hidden, const PackedBatch& batch, std::int64_t first, std::int64_t last,
                         const ProjectionHook* hook, const at::Tensor& needed, bool recompute) const {
  const RopeTensors& table = rope(batch);
  const DeviceBatch here = to_device(batch, device());
  return walk(hidden, here, first, last, hook, needed, recompute && at::GradMode::is_enabled(),
              [here, &table](std::int64_t, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& asked) {
                return ops::rope_attention(q, k, v, here, table, asked);
              });
}

at::Tensor Llama::layers_cached(const at::Tensor& hidden, const PackedBatch& batch, const ProjectionHook* hook, KvCache& cache,
                                const at::Tensor& needed) const {
  const at::NoGradGuard no_grad;
  THINKREC_CHECK(batch.rows() == cache.rows(), "{} rows, {} in the cache", batch.rows(), cache.rows());
  const RopeTensors& table = rope(batch);
  const DeviceBatch here = to_device(batch, device());
  const at::Tensor out =
      walk(hidden, here, 0, config_.layers, hook, needed, /*recompute=*/false,
           [&](std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& asked) {
             const at::Tensor all = ops::cached_attention(q, k, v, here, table, layer, cache);
             return asked.defined() ? all.index_select(0, asked) : all;
           });
  for (std::int64_t row = 0; row < batch.rows(); ++row) cache.advance(row, batch.length(row));
  return out;
}

at::Tensor Llama::final_norm(const at::Tensor& hidden) const {
  return ops::rms_norm(hidden, {}, weights_.final_norm, config_.norm_epsilon).second;
}

at::Tensor Llama::logits(const at::Tensor& normed) const { return ops::linear(normed, weights_.head); }

}  // namespace thinkrec
