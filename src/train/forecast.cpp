#include "train/forecast.h"

#include <algorithm>

#include "core/error.h"
#include "model/ops.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kFloat = 4;

/// Data sheets: NVIDIA H100 SXM and H200 (2023), A100 (2020), L40S (2023), A10 (2021), RTX 4090 (2022), B200 (2024); dense bf16.
constexpr GpuKind kGpus[] = {
    {"a10", 125e12, 24e9},  {"a100-40", 312e12, 40e9}, {"a100-80", 312e12, 80e9}, {"b200", 2250e12, 180e9},
    {"h100", 989e12, 80e9}, {"h200", 989e12, 141e9},   {"l40s", 362e12, 48e9},    {"rtx4090", 165e12, 24e9},
};

struct Widths {
  std::int64_t q, kv;
  explicit Widths(const LlamaConfig& model) : q(model.heads * model.head_width), kv(model.kv_heads * model.head_width) {}
};

double product(std::int64_t rows, std::int64_t in, std::int64_t out) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
}

double lora_flops(const LlamaConfig& model, std::int64_t tokens, std::int64_t rank) {
  const Widths widths(model);
  return product(tokens, rank, 2 * model.width + widths.q + widths.kv);
}

}  // namespace

PassShape& PassShape::operator+=(const PassShape& other) {
  tokens += other.tokens;
  read += other.read;
  squares += other.squares;
  return *this;
}

double forward_flops(const LlamaConfig& model, const PassShape& pass, std::int64_t first, std::int64_t last,
                     std::int64_t lora_rank) {
  const Widths widths(model);
  double sum = 0;
  for (std::int64_t layer = first; layer < last; ++layer) {
    const bool top = layer + 1 == model.layers;
    const std::int64_t behind = top ? pass.read : pass.tokens;
    const double seen = top && pass.tokens > 0 ? static_cast<double>(pass.read) / static_cast<double>(pass.tokens) : 1.0;
    sum += product(pass.tokens, model.width, 2 * widths.kv) + product(behind, model.width, widths.q) +
           lora_flops(model, pass.tokens, lora_rank);
    // Scores and weighted sums, each over half the square: causal.
    sum += 2.0 * static_cast<double>(widths.q) * pass.squares * seen;
    sum += product(behind, widths.q, model.width) + product(behind, model.width, 3 * model.ffn);
  }
  return sum;
}

double training_flops(const LlamaConfig& model, const PassShape& pass, const PassKind& kind) {
  const Widths widths(model);
  double sum = forward_flops(model, pass, kind.first_layer, model.layers, kind.lora_rank);
  for (std::int64_t layer = kind.first_layer; layer < model.layers; ++layer) {
    const bool top = layer + 1 == model.layers, passes_on = layer > kind.first_layer || kind.train_inputs;
    const std::int64_t behind = top ? pass.read : pass.tokens;
    const double seen = top && pass.tokens > 0 ? static_cast<double>(pass.read) / static_cast<double>(pass.tokens) : 1.0;
    if (passes_on) sum += product(pass.tokens, model.width, 2 * widths.kv) + product(behind, model.width, widths.q);
    sum += 2 * lora_flops(model, pass.tokens, kind.lora_rank);
    sum += 5.0 * static_cast<double>(widths.q) * pass.squares * seen;  // scores again, and four gradients
    sum += product(behind, widths.q, model.width) + product(behind, model.width, 3 * model.ffn);
  }
  if (kind.recompute) sum += forward_flops(model, pass, kind.first_layer, model.layers, kind.lora_rank);
  return sum + 2 * product(pass.read, model.width, model.vocab);
}

PassBytes pass_bytes(const LlamaConfig& model, const PassShape& pass, const PassKind& kind) {
  const Widths widths(model);
  const std::int64_t value = kind.value_bytes, width = model.width;
  // A layer's backward pass needs: the sums that its two norms read, the first norm's result (the adapters' input), q, k, v and the
  // result of attention, gate and up; the norms' scales, attention's normalisers and the adapters' low-rank products in fp32.
  const auto layer_bytes = [&](bool top) {
    const std::int64_t behind = top ? pass.read : pass.tokens, asking = top && !kind.on_gpu ? pass.read : pass.tokens;
    return value * (pass.tokens * (2 * width + 2 * widths.kv) + asking * 2 * widths.q + behind * (width + 2 * model.ffn)) +
           kFloat * (pass.tokens * (1 + 2 * kind.lora_rank) + behind + asking * model.heads);
  };
  const std::int64_t trained = model.layers - kind.first_layer;
  if (trained <= 0) return {};
  PassBytes bytes;
  const std::int64_t below = (trained - 1) * layer_bytes(false), top = layer_bytes(true);
  // The MLP's three gradients of ffn values a token, the residual stream's and what it is added to.
  const auto gradients = [&](std::int64_t tokens) { return value * tokens * (3 * model.ffn + 2 * width); };
  const std::int64_t chunk = std::max<std::int64_t>(1, std::min(pass.read, ops::kChunkLogits / model.vocab));
  bytes.logits = value * (chunk * model.vocab + 2 * pass.read * width);
  if (kind.recompute) {
    // What goes into each layer, and one layer at a time.
    const std::int64_t into = value * pass.tokens * width, head = value * pass.read * 2 * width;
    bytes.saved = trained * into + head;
    bytes.gradients = gradients(trained > 1 ? pass.tokens : pass.read);
    bytes.peak = std::max({bytes.saved + bytes.logits, trained * into + top + gradients(pass.read),
                           trained > 1 ? (trained - 1) * into + layer_bytes(false) + gradients(pass.tokens) : 0});
    return bytes;
  }
  // The lowest norm reads what needs no gradient, and saves nothing.
  const std::int64_t spared = kind.train_inputs ? 0 : value * pass.tokens * width;
  bytes.saved = below + top + value * pass.read * 2 * width - spared;
  bytes.gradients = gradients(trained > 1 ? pass.tokens : pass.read);
  bytes.peak = std::max(bytes.saved + bytes.logits, (trained > 1 ? bytes.saved - top : bytes.saved) + bytes.gradients);
  return bytes;
}

std::int64_t lora_values(const LlamaConfig& model, std::int64_t rank, std::int64_t first_layer) {
  const Widths widths(model);
  return (model.layers - first_layer) * rank * (2 * model.width + widths.q + widths.kv);
}

std::int64_t projector_values(std::int64_t d1, std::int64_t d2, std::int64_t expansion) {
  const std::int64_t hidden = expansion * d1;
  return hidden * (d1 + 1) + d2 * (hidden + 1);
}

const GpuKind& gpu_kind(std::string_view name) {
  for (const GpuKind& kind : kGpus) {
    if (kind.name == name) return kind;
  }
  fail(ExitCode::kUsage, "--gpu: '{}' is not known; known are {}", name, gpu_names());
}

std::string gpu_names() {
  std::string all;
  for (const GpuKind& kind : kGpus) all += fmt::format("{}{}", all.empty() ? "" : "|", kind.name);
  return all;
}

}  // namespace thinkrec
