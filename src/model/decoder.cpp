#include "model/decoder.h"

#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "kernels/kv_attention.h"
#include "kernels/linear.h"
#include "kernels/linear_int8.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kFewValues = 1 << 15;  // elementwise work below this takes less time than waking the threads

std::int64_t element_bytes(Precision precision) { return precision == Precision::kFp32 ? 4 : 2; }

/// A matrix [out, width] in either form.
struct Matrix {
  const float* fp32 = nullptr;
  kernels::Int8Weights int8{};
  std::int64_t out = 0;
};
struct LayerMatrices {
  Matrix q, k, v, o, gate, up, down;
};
struct Product {
  const Matrix& matrix;
  std::vector<float>& result;
};

}  // namespace

Precision parse_precision(const std::string& name) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "int8") return Precision::kInt8;
  fail(ExitCode::kConfig, "'{}' is no precision of generation; there are fp32 and int8", name);
}

KvRun::KvRun(const LlamaConfig& config, Precision precision, std::int64_t capacity)
    : capacity_((std::max<std::int64_t>(1, capacity) + kernels::kKeyBlock - 1) / kernels::kKeyBlock * kernels::kKeyBlock),
      layer_bytes_(2 * capacity_ * config.kv_heads * config.head_width * element_bytes(precision)),
      memory_(new unsigned char[static_cast<std::size_t>(config.layers * layer_bytes_)]) {}

struct Decoder::Matrices {
  std::vector<LayerMatrices> layers;
  Matrix head;
  std::unique_ptr<std::uint8_t, decltype(&std::free)> codes{nullptr,
                                                            &std::free};  // all of them, on large pages where there are some
  std::vector<float> scales;

  Matrices(const Llama& model, Precision precision, int threads) {
    const LlamaWeights& weights = model.weights();
    std::int64_t codes_size = 0, scales_size = 0;
    const auto each = [&](auto&& visit) {
      layers.resize(weights.layers.size());
      for (std::size_t i = 0; i < layers.size(); ++i) {
        const LayerWeights& from = weights.layers[i];
        LayerMatrices& to = layers[i];
        visit(from.q, to.q), visit(from.k, to.k), visit(from.v, to.v), visit(from.o, to.o);
        visit(from.gate, to.gate), visit(from.up, to.up), visit(from.down, to.down);
      }
      visit(weights.head, head);
    };
    each([&](const at::Tensor& from, Matrix& to) {
      THINKREC_CHECK(from.is_cpu() && from.scalar_type() == at::kFloat && from.is_contiguous(), "not fp32 on the CPU");
      to.fp32 = from.const_data_ptr<float>();
      to.out = from.size(0);
      codes_size += kernels::int8_codes(from.size(0), from.size(1));
      scales_size += kernels::int8_scales(from.size(0), from.size(1));
    });
    if (precision == Precision::kFp32) return;
    constexpr std::int64_t kLargePage = 2 << 20;
    const auto bytes = static_cast<std::size_t>((codes_size + kLargePage - 1) / kLargePage * kLargePage);
    codes.reset(static_cast<std::uint8_t*>(std::aligned_alloc(kLargePage, bytes)));
    if (codes == nullptr) throw std::bad_alloc();
    madvise(codes.get(), bytes, MADV_HUGEPAGE);  // only advice: without it generation is a little slower
    scales.resize(static_cast<std::size_t>(scales_size));
    std::uint8_t* code = codes.get();
    float* scale = scales.data();
    each([&](const at::Tensor& from, Matrix& to) {
      kernels::pack_int8(to.fp32, from.size(0), from.size(1), code, scale, threads);
      to.int8 = {code, scale, from.size(0), from.size(1)};
      code += kernels::int8_codes(from.size(0), from.size(1));
      scale += kernels::int8_scales(from.size(0), from.size(1));
    });
  }
};

/// Pieces next to each other with one hook, and what it is told of them.
struct Decoder::HookRun {
  const ProjectionHook* hook;
  std::int64_t begin, tokens;
  DeviceBatch batch;
};

struct Decoder::Buffers {
  std::vector<std::uint32_t> position;
  std::vector<std::int64_t> begin;  // [pieces + 1]
  std::vector<HookRun> hooks;
  std::vector<float> x, normed, q, k, v, attended, delta, gate, up, inverse_rms, logits;
};

Decoder::Decoder(const Llama& model, Precision precision, int threads)
    : model_(model),
      precision_(precision),
      threads_(threads),
      matrices_(std::make_unique<Matrices>(model, precision, threads)),
      buffers_(std::make_unique<Buffers>()) {}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;

namespace {

void multiply(Precision precision, const std::vector<float>& x, std::int64_t tokens, std::int64_t width,
              std::initializer_list<Product> products, int threads) {
  std::vector<kernels::LinearProduct> fp32;
  std::vector<kernels::Int8Product> int8;
  for (const Product& product : products) {
    product.result.resize(static_cast<std::size_t>(tokens * product.matrix.out));
    if (precision == Precision::kFp32) fp32.push_back({product.matrix.fp32, product.matrix.out, product.result.data()});
    if (precision == Precision::kInt8) int8.push_back({product.matrix.int8, product.result.data()});
  }
  if (precision == Precision::kFp32) kernels::linear(x.data(), tokens, width, fp32, threads);
  if (precision == Precision::kInt8) kernels::linear_int8(x.data(), tokens, width, int8, threads);
}

void embed(const Llama& model, const DecodePiece& piece, float* to) {
  const std::int64_t width = model.config().width, vocab = model.config().vocab;
  const std::int64_t slots = piece.features.defined() ? piece.features.size(0) : 0;
  THINKREC_CHECK(slots == 0 || (piece.features.is_contiguous() && piece.features.scalar_type() == at::kFloat), "features");
  const float* table = model.weights().embedding.const_data_ptr<float>();
  for (const std::int32_t token : piece.tokens) {
    THINKREC_CHECK(token < vocab && -1 - token < slots, "token {} of {}, {} slots", token, vocab, slots);
    const float* from = token >= 0 ? table + token * width : piece.features.const_data_ptr<float>() + (-1 - token) * width;
    to = std::copy_n(from, width, to);
  }
}

}  // namespace

template <class Real>
void Decoder::attend(std::int64_t layer, std::span<const DecodePiece> pieces) {
  const LlamaConfig& c = model_.config();
  const kernels::KvShape shape{c.heads, c.kv_heads, c.head_width};
  Buffers& b = *buffers_;
  std::vector<std::vector<kernels::KvSegment<Real>>> segments(pieces.size());
  std::vector<kernels::KvRow<Real>> rows;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto fresh = static_cast<std::int64_t>(pieces[i].tokens.size());
    for (const DecodePiece::Part& part : pieces[i].parts) {
      Real* keys = static_cast<Real*>(part.run->layer(layer));
      segments[i].push_back({keys, keys + part.run->capacity() * c.kv_heads * c.head_width, part.run->capacity(), part.length});
    }
    const std::int64_t from = b.begin[i] * c.kv_heads * c.head_width;
    kernels::kv_store(shape, b.k.data() + from, b.v.data() + from, fresh, segments[i].back(), segments[i].back().length);
    segments[i].back().length += fresh;
    rows.push_back({b.begin[i], fresh, segments[i]});
  }
  b.attended.resize(b.q.size());
  kernels::kv_attention<Real>(shape, b.q.data(), rows, b.attended.data(), threads_);
}

/// In the last layer, once its keys are kept, only the tokens whose logits are wanted go on: how many.
std::int64_t Decoder::keep_asked(std::span<const DecodePiece> pieces) {
  Buffers& b = *buffers_;
  const std::int64_t width = model_.config().width, attended = model_.config().heads * model_.config().head_width;
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (!pieces[i].logits) continue;
    const std::int64_t last = b.begin[i + 1] - 1;
    std::copy_n(b.x.data() + last * width, width, b.x.data() + kept * width);
    std::copy_n(b.attended.data() + last * attended, attended, b.attended.data() + kept * attended);
    ++kept;
  }
  return kept;
}

std::span<float> Decoder::run(std::span<const DecodePiece> pieces) {
  const at::NoGradGuard no_grad;
  const LlamaConfig& c = model_.config();
  const RopeTensors& rope = model_.rope_tables();
  Buffers& b = *buffers_;
  b.position.clear();
  b.begin = {0};
  b.hooks.clear();
  std::int64_t tokens = 0;
  for (const DecodePiece& piece : pieces) {
    THINKREC_CHECK(!piece.parts.empty() && !piece.tokens.empty(), "an empty piece");
    tokens += static_cast<std::int64_t>(piece.tokens.size());
  }
  b.x.resize(static_cast<std::size_t>(tokens * c.width));
  PackedBatch seen_by_hook;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const DecodePiece& piece = pieces[i];
    std::int64_t position = 0;
    for (const DecodePiece::Part& part : piece.parts) position += part.length;
    THINKREC_CHECK(position + static_cast<std::int64_t>(piece.tokens.size()) <= rope.length(), "beyond the model's {} positions",
                   rope.length());
    embed(model_, piece, b.x.data() + b.begin.back() * c.width);
    seen_by_hook.add(piece.tokens, piece.sample, static_cast<std::uint32_t>(position));
    for (std::size_t t = 0; t < piece.tokens.size(); ++t) b.position.push_back(static_cast<std::uint32_t>(position++));
    b.begin.push_back(static_cast<std::int64_t>(b.position.size()));
    if (i + 1 < pieces.size() && pieces[i + 1].hook == piece.hook) continue;
    if (piece.hook != nullptr)
      b.hooks.push_back(
          {piece.hook, b.begin.back() - seen_by_hook.tokens(), seen_by_hook.tokens(), to_device(seen_by_hook, at::kCPU)});
    seen_by_hook = {};
  }

  const auto some_threads = [&](std::int64_t values) { return values < kFewValues ? 1 : threads_; };
  const auto norm = [&](bool residual, const at::Tensor& weight, std::int64_t count) {
    b.normed.resize(static_cast<std::size_t>(count * c.width));
    b.inverse_rms.resize(static_cast<std::size_t>(count));
    kernels::rms_norm_forward(residual ? b.delta.data() : b.x.data(), residual ? b.x.data() : nullptr,
                              weight.const_data_ptr<float>(), c.norm_epsilon, count, c.width, residual ? b.x.data() : nullptr,
                              b.normed.data(), b.inverse_rms.data(), some_threads(count * c.width));
  };
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const LayerWeights& weights = model_.weights().layers[static_cast<std::size_t>(layer)];
    const LayerMatrices& m = matrices_->layers[static_cast<std::size_t>(layer)];
    norm(layer > 0, weights.attention_norm, tokens);
    multiply(precision_, b.normed, tokens, c.width, {{m.q, b.q}, {m.k, b.k}, {m.v, b.v}}, threads_);
    for (const HookRun& run : b.hooks) {
      const auto view = [&](std::vector<float>& of, std::int64_t width) {
        return at::from_blob(of.data() + run.begin * width, {run.tokens, width}, at::kFloat);
      };
      const at::Tensor q = view(b.q, m.q.out), v = view(b.v, m.v.out);
      const auto [new_q, new_v] = run.hook->apply(layer, view(b.normed, c.width), q, v, run.batch);
      if (new_q.data_ptr() != q.data_ptr()) q.copy_(new_q);
      if (new_v.data_ptr() != v.data_ptr()) v.copy_(new_v);
    }
    const auto turn = [&](std::vector<float>& heads, std::int64_t count) {
      kernels::rope_forward(heads.data(), tokens, count, c.head_width, b.position.data(), rope.cos.const_data_ptr<float>(),
                            rope.sin.const_data_ptr<float>(), some_threads(static_cast<std::int64_t>(heads.size())));
    };
    turn(b.q, c.heads);
    turn(b.k, c.kv_heads);
    precision_ == Precision::kFp32 ? attend<float>(layer, pieces) : attend<kernels::Bfloat16>(layer, pieces);
    if (layer + 1 == c.layers) tokens = keep_asked(pieces);
    if (tokens == 0) return {};
    multiply(precision_, b.attended, tokens, m.q.out, {{m.o, b.delta}}, threads_);
    norm(true, weights.mlp_norm, tokens);
    multiply(precision_, b.normed, tokens, c.width, {{m.gate, b.gate}, {m.up, b.up}}, threads_);
    const std::int64_t values = tokens * c.ffn;
    kernels::swiglu_forward(b.gate.data(), b.up.data(), values, b.gate.data(), some_threads(values));
    multiply(precision_, b.gate, tokens, c.ffn, {{m.down, b.delta}}, threads_);
  }
  norm(true, model_.weights().final_norm, tokens);
  multiply(precision_, b.normed, tokens, c.width, {{matrices_->head, b.logits}}, threads_);
  return {b.logits.data(), static_cast<std::size_t>(tokens * c.vocab)};
}

}  // namespace thinkrec
