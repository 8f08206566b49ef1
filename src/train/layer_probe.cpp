#include "train/layer_probe.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

#include "adapters/lora.h"
#include "model/llama.h"

namespace thinkrec {
namespace {

constexpr double kMostFlops = 4e10;  // of a pass: about a second on one core
constexpr int kPasses = 5;

LayerWeights random_layer(const LlamaConfig& model) {
  const auto matrix = [](std::int64_t out, std::int64_t in) { return at::randn({out, in}, at::kFloat).mul_(0.02); };
  const std::int64_t q = model.heads * model.head_width, kv = model.kv_heads * model.head_width, width = model.width;
  return {at::ones({width}), matrix(q, width),         matrix(kv, width),        matrix(kv, width),       matrix(width, q),
          at::ones({width}), matrix(model.ffn, width), matrix(model.ffn, width), matrix(width, model.ffn)};
}

}  // namespace

LayerRate measure_layer(const LlamaConfig& shape, std::int64_t tokens, std::int64_t row_tokens, std::int64_t lora_rank) {
  LlamaConfig model = shape;
  model.layers = 1;
  row_tokens = std::clamp<std::int64_t>(row_tokens, 1, model.max_positions);
  const PassKind kind{0, true, lora_rank, 4, false};
  const auto cost = [&](std::int64_t n) {
    LlamaConfig no_head = model;  // the head is not part of it
    no_head.vocab = 0;
    const double squares = static_cast<double>(n) * static_cast<double>(std::min(n, row_tokens));
    return training_flops(no_head, {n, n, squares}, kind);
  };
  tokens = std::max<std::int64_t>(tokens, 1);
  while (tokens > 16 && cost(tokens) > kMostFlops) tokens = tokens * 3 / 4;

  PackedBatch batch;
  for (std::int64_t left = tokens, row = 0; left > 0; left -= row_tokens, ++row)
    batch.add(std::vector<std::int32_t>(static_cast<std::size_t>(std::min(left, row_tokens)), 0),
              static_cast<std::uint64_t>(row));
  LlamaWeights weights;
  weights.embedding = weights.head = at::zeros({1, model.width});
  weights.final_norm = at::ones({model.width});
  weights.layers.push_back(random_layer(model));
  const Llama layer(model, std::move(weights));
  const LoraAdapter adapter(model, {.lora_rank = lora_rank}, 1);
  for (const auto& [name, tensor] : adapter.named()) tensor.requires_grad_(true);
  const LoraHook hook(adapter, 0.05, 0, 1, 1);
  const at::Tensor hidden = at::randn({tokens, model.width}, at::kFloat).requires_grad_(true);

  const at::AutoGradMode grad(true);
  std::vector<double> seconds;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    layer.layers(hidden, batch, 0, 1, &hook).sum().backward();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (pass > 0 && seconds.back() > 1) break;  // enough was seen
  }
  seconds.erase(seconds.begin());  // the first pass warms up
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  return {cost(tokens) / median, median, tokens};
}

}  // namespace thinkrec
