#include "model/bert.h"

#include <ATen/ATen.h>

#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/joined.h"
#include "io/file.h"
#include "io/safetensors.h"

namespace thinkrec {
namespace {

std::string config_path(const std::string& folder) { return (std::filesystem::path(folder) / "config.json").string(); }

/// The tensors of a folder, by their names without the model's prefix.
class Tensors {
 public:
  explicit Tensors(const std::string& folder) : files_(folder) {
    for (const char* prefix : {"bert.", "rembert.", "bleurt."}) {
      if (files_.find(prefix + std::string("embeddings.word_embeddings.weight")).entry != nullptr) prefix_ = prefix;
    }
  }
  bool has(const std::string& name) const { return files_.find(full(name)).entry != nullptr; }
  at::Tensor read(const std::string& name, std::vector<std::int64_t> shape) const {
    const SafetensorsFolder::Place place = files_.place(full(name));
    if (place.entry->shape != shape) {
      fail(ExitCode::kBadData, "{}: tensor '{}' has shape [{}], the configuration asks for [{}]", place.file->path(), full(name),
           joined(place.entry->shape, ", "), joined(shape, ", "));
    }
    const at::Tensor tensor = at::empty(shape, at::kFloat);
    place.file->read(*place.entry, tensor.mutable_data_ptr<float>());
    return tensor;
  }

 private:
  std::string full(const std::string& name) const { return name.starts_with("classifier.") ? name : prefix_ + name; }
  SafetensorsFolder files_;
  std::string prefix_;
};

}  // namespace

Bert::Bert(const std::string& folder)
    : folder_(folder), config_(parse_bert_config(read_file(config_path(folder), 1 << 20), config_path(folder))) {
  const Tensors tensors(folder);
  const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    return Linear{tensors.read(name + ".weight", {out, in}), tensors.read(name + ".bias", {out})};
  };
  const auto norm = [&](const std::string& name, std::int64_t width) {
    return Norm{tensors.read(name + ".weight", {width}), tensors.read(name + ".bias", {width})};
  };
  const BertConfig& c = config_;
  words_ = tensors.read("embeddings.word_embeddings.weight", {c.vocab, c.embedding_width});
  positions_ = tensors.read("embeddings.position_embeddings.weight", {c.max_positions, c.embedding_width});
  types_ = tensors.read("embeddings.token_type_embeddings.weight", {c.types, c.embedding_width});
  embedding_norm_ = norm("embeddings.LayerNorm", c.embedding_width);
  if (c.projected) {  // transformers' name, and that of the PyTorch port of BLEURT
    const std::string ported = "encoder.embedding_projection";
    projection_ =
        linear(tensors.has(ported + ".weight") ? ported : "encoder.embedding_hidden_mapping_in", c.width, c.embedding_width);
  }
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string at = fmt::format("encoder.layer.{}.", i);
    layers_.push_back({linear(at + "attention.self.query", c.width, c.width), linear(at + "attention.self.key", c.width, c.width),
                       linear(at + "attention.self.value", c.width, c.width),
                       linear(at + "attention.output.dense", c.width, c.width), linear(at + "intermediate.dense", c.ffn, c.width),
                       linear(at + "output.dense", c.width, c.ffn), norm(at + "attention.output.LayerNorm", c.width),
                       norm(at + "output.LayerNorm", c.width)});
  }
  if (tensors.has("pooler.dense.weight")) pooler_ = linear("pooler.dense", c.width, c.width);
  if (tensors.has("classifier.weight")) head_ = linear("classifier", 1, c.width);
}

at::Tensor Bert::normed(const at::Tensor& x, const Norm& norm) const {
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, config_.norm_epsilon);
}

at::Tensor Bert::activated(const at::Tensor& x) const {
  switch (config_.activation) {
    case BertConfig::Activation::kGelu:
      return at::gelu(x);
    case BertConfig::Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case BertConfig::Activation::kRelu:
      break;
  }
  return at::relu(x);
}

/// Every token attends to all tokens of its row.
at::Tensor Bert::attend(const Layer& layer, const at::Tensor& x, std::span<const std::int64_t> begin) const {
  const std::int64_t head_width = config_.width / config_.heads;
  const at::Tensor q = at::linear(x, layer.q.weight, layer.q.bias), k = at::linear(x, layer.k.weight, layer.k.bias),
                   v = at::linear(x, layer.v.weight, layer.v.bias);
  at::Tensor seen = at::empty_like(q);
  for (std::size_t r = 0; r + 1 < begin.size(); ++r) {
    const std::int64_t length = begin[r + 1] - begin[r];
    const auto of_row = [&](const at::Tensor& all) {  // [1, heads, length, head_width]
      return all.narrow(0, begin[r], length).view({1, length, config_.heads, head_width}).transpose(1, 2);
    };
    const at::Tensor row = at::scaled_dot_product_attention(of_row(q), of_row(k), of_row(v));
    seen.narrow(0, begin[r], length).copy_(row[0].transpose(0, 1).reshape({length, config_.width}));
  }
  return at::linear(seen, layer.attention_out.weight, layer.attention_out.bias);
}

at::Tensor Bert::hidden(std::span<const BertRow> rows) const {
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> token, position, type, begin = {0};
  for (const BertRow& row : rows) {
    const auto length = static_cast<std::int64_t>(row.token.size());
    THINKREC_CHECK(length > 0 && length <= config_.max_positions && (row.second >= length || config_.types > 1), "{} tokens",
                   length);
    for (std::int64_t i = 0; i < length; ++i) {
      token.push_back(row.token[static_cast<std::size_t>(i)]);
      position.push_back(i);
      type.push_back(i < row.second ? 0 : 1);
      THINKREC_CHECK(token.back() >= 0 && token.back() < config_.vocab, "token {} of {}", token.back(), config_.vocab);
    }
    begin.push_back(static_cast<std::int64_t>(token.size()));
  }
  at::Tensor x = at::embedding(words_, at::tensor(token)) + at::embedding(positions_, at::tensor(position)) +
                 at::embedding(types_, at::tensor(type));
  x = normed(x, embedding_norm_);
  if (config_.projected) x = at::linear(x, projection_.weight, projection_.bias);
  for (const Layer& layer : layers_) {
    x = normed(attend(layer, x, begin) + x, layer.attention_norm);
    const at::Tensor inner = activated(at::linear(x, layer.up.weight, layer.up.bias));
    x = normed(at::linear(inner, layer.down.weight, layer.down.bias) + x, layer.norm);
  }
  return x;
}

at::Tensor Bert::regression(std::span<const BertRow> rows) const {
  if (!pooler_.weight.defined() || !head_.weight.defined()) {
    fail(ExitCode::kBadData, "{}: the model has no {}: it is an encoder alone, not a regression such as BLEURT's", folder_,
         pooler_.weight.defined() ? "'classifier.weight'" : "'pooler.dense.weight'");
  }
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> first;
  for (std::int64_t at = 0; const BertRow& row : rows) {
    first.push_back(at);
    at += static_cast<std::int64_t>(row.token.size());
  }
  const at::Tensor cls = hidden(rows).index_select(0, at::tensor(first));
  const at::Tensor pooled = at::tanh(at::linear(cls, pooler_.weight, pooler_.bias));
  return at::linear(pooled, head_.weight, head_.bias).view({-1});
}

}  // namespace thinkrec
