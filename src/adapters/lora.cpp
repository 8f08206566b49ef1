#include "adapters/lora.h"

#include <ATen/ATen.h>

#include <unordered_map>

#include "adapters/random.h"
#include "core/error.h"
#include "core/joined.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kKernelRank = 64;  // beyond it (many experts merged) the product goes through libtorch

at::Tensor add_low_rank(const at::Tensor& x, const at::Tensor& base, const ops::LoraFactors& factors, double scale) {
  return base + (at::linear(at::linear(x.to(at::kFloat), factors.a), factors.b) * scale).to(base.scalar_type());
}

kernels::DropoutKey dropout_key(std::uint64_t seed, std::int64_t step, std::int64_t layer, double probability) {
  return {seed, static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(layer), static_cast<float>(probability)};
}

std::string factor_name(std::int64_t layer, const char* projection, const char* factor) {
  return fmt::format("layers.{}.self_attn.{}.{}", layer, projection, factor);
}

}  // namespace

LoraAdapter::LoraAdapter(const LlamaConfig& model, const LoraConfig& config, std::uint64_t seed) {
  const std::int64_t r = config.lora_rank, q_out = model.heads * model.head_width, v_out = model.kv_heads * model.head_width;
  const double bound = 1 / std::sqrt(static_cast<double>(model.width));
  for (std::int64_t i = 0; i < model.layers; ++i) {
    const auto factors = [&](std::int64_t out, std::uint64_t projection) {
      return ops::LoraFactors{uniform_tensor({r, model.width}, bound, seed, static_cast<std::uint64_t>(i) * 2 + projection),
                              at::zeros({out, r}, at::kFloat)};
    };
    layers_.push_back({factors(q_out, 0), factors(v_out, 1), config.scale()});
  }
}

LoraAdapter LoraAdapter::clone() const { return to(layers_.empty() ? at::Device(at::kCPU) : layers_[0].q.a.device()); }

LoraAdapter LoraAdapter::to(at::Device device) const {
  const auto moved = [&](const at::Tensor& t) { return t.detach().to(device, t.scalar_type(), false, /*copy=*/true); };
  const auto copy = [&](const ops::LoraFactors& f) { return ops::LoraFactors{moved(f.a), moved(f.b)}; };
  std::vector<Layer> layers;
  for (const Layer& layer : layers_) layers.push_back({copy(layer.q), copy(layer.v), layer.scale});
  return LoraAdapter(std::move(layers));
}

NamedTensors LoraAdapter::named(std::int64_t first, std::int64_t last) const {
  NamedTensors all;
  for (std::int64_t i = first; i < last; ++i) {
    all.emplace_back(factor_name(i, "q_proj", "lora_A"), layer(i).q.a);
    all.emplace_back(factor_name(i, "q_proj", "lora_B"), layer(i).q.b);
    all.emplace_back(factor_name(i, "v_proj", "lora_A"), layer(i).v.a);
    all.emplace_back(factor_name(i, "v_proj", "lora_B"), layer(i).v.b);
  }
  return all;
}

void LoraAdapter::load(const NamedTensors& values, const std::string& origin) {
  const at::NoGradGuard no_grad;
  const std::unordered_map<std::string, at::Tensor> by_name(values.begin(), values.end());
  for (auto& [name, tensor] : named()) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) fail(ExitCode::kBadData, "{}: adapter tensor '{}' is missing", origin, name);
    if (found->second.sizes() != tensor.sizes()) {
      fail(ExitCode::kBadData, "{}: adapter tensor '{}' has shape [{}], this model and lora.rank ask for [{}]", origin, name,
           joined(found->second.sizes(), ", "), joined(tensor.sizes(), ", "));
    }
    tensor.copy_(found->second);
  }
}

LoraAdapter merge_adapters(const std::vector<LoraAdapter>& adapters, const std::vector<double>& weights,
                           std::int64_t first_layer) {
  THINKREC_CHECK(!adapters.empty() && adapters.size() == weights.size(), "{} adapters, {} weights", adapters.size(),
                 weights.size());
  const at::NoGradGuard no_grad;
  std::vector<LoraAdapter::Layer> layers;
  for (std::int64_t i = 0; i < adapters[0].layer_count(); ++i) {
    if (i < first_layer) {
      layers.push_back(adapters[0].layer(i));
      continue;
    }
    const auto stack = [&](ops::LoraFactors LoraAdapter::Layer::*projection) {
      std::vector<at::Tensor> a, b;
      for (std::size_t n = 0; n < adapters.size(); ++n) {
        const LoraAdapter::Layer& layer = adapters[n].layer(i);
        a.push_back((layer.*projection).a.detach());
        b.push_back((layer.*projection).b.detach() * (weights[n] * layer.scale));
      }
      return ops::LoraFactors{at::cat(a, 0).contiguous(), at::cat(b, 1).contiguous()};
    };
    layers.push_back({stack(&LoraAdapter::Layer::q), stack(&LoraAdapter::Layer::v), 1.0});
  }
  return LoraAdapter(std::move(layers));
}

LlamaWeights merge_into(const LlamaWeights& base, const LoraAdapter& adapter) {
  THINKREC_CHECK(adapter.layer_count() == static_cast<std::int64_t>(base.layers.size()), "{} layers on {}", adapter.layer_count(),
                 base.layers.size());
  const at::NoGradGuard no_grad;
  LlamaWeights merged = base;
  const auto sum = [](const at::Tensor& weight, const ops::LoraFactors& factors, double scale) {
    return at::add(weight, at::mm(factors.b.to(at::kCPU), factors.a.to(at::kCPU)), scale).contiguous();
  };
  for (std::int64_t i = 0; i < adapter.layer_count(); ++i) {
    const LoraAdapter::Layer& layer = adapter.layer(i);
    LayerWeights& weights = merged.layers[static_cast<std::size_t>(i)];
    weights.q = sum(weights.q, layer.q, layer.scale);
    weights.v = sum(weights.v, layer.v, layer.scale);
  }
  return merged;
}

std::pair<at::Tensor, at::Tensor> LoraHook::apply(std::int64_t i, const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                                  const DeviceBatch& batch) const {
  THINKREC_CHECK(i < adapter_.layer_count(), "layer {} of an adapter with {}", i, adapter_.layer_count());
  const LoraAdapter::Layer& layer = adapter_.layer(i);
  if (layer.q.a.size(0) > kKernelRank) {
    return {add_low_rank(x, q, layer.q, layer.scale), add_low_rank(x, v, layer.v, layer.scale)};
  }
  const double dropout = i >= dropout_from_ ? dropout_ : 0.0;
  return ops::lora_qv(x, q, v, layer.q, layer.v, static_cast<float>(layer.scale), batch, dropout_key(seed_, step_, i, dropout));
}

std::pair<at::Tensor, at::Tensor> MixtureHook::apply(std::int64_t i, const at::Tensor& x, const at::Tensor& q,
                                                     const at::Tensor& v, const DeviceBatch& batch) const {
  const double scale = adapters_[0]->layer(i).scale;
  const at::Tensor weight = weight_.size(0) == 1 ? weight_.expand({x.size(0), -1}).contiguous() : weight_;
  const auto stack = [&](ops::LoraFactors LoraAdapter::Layer::*projection) {
    std::vector<at::Tensor> a, b;
    for (const LoraAdapter* adapter : adapters_) {
      const LoraAdapter::Layer& layer = adapter->layer(i);
      THINKREC_CHECK(layer.scale == scale, "adapters of different scales in layer {}", i);
      a.push_back((layer.*projection).a);
      b.push_back((layer.*projection).b);
    }
    return ops::LoraFactors{at::stack(a), at::stack(b)};
  };
  return ops::lora_qv(x, q, v, stack(&LoraAdapter::Layer::q), stack(&LoraAdapter::Layer::v), static_cast<float>(scale), batch,
                      dropout_key(seed_, step_, i, dropout_), weight);
}

}  // namespace thinkrec
