#pragma once
// Encoders of the BERT family (Devlin et al. 2019), RemBERT (Chung et al. 2021) among them, with a regression head: what a learnt
// text metric needs. fp32 on the CPU, over rows packed end to end, so that a row's result does not hang on the rows beside it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace thinkrec {

struct BertConfig {
  enum class Activation { kGelu, kGeluTanh, kRelu };
  std::int64_t vocab = 0;
  std::int64_t width = 0;            ///< hidden size
  std::int64_t embedding_width = 0;  ///< of the embeddings; `width` without a projection
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t ffn = 0;
  std::int64_t max_positions = 0;
  std::int64_t types = 0;  ///< token types: 2 for pairs
  double norm_epsilon = 1e-12;
  Activation activation = Activation::kGelu;
  std::int64_t cls = -1, sep = -1;  ///< bos_token_id and eos_token_id of RemBERT; -1 where config.json has none
  bool projected = false;           ///< the embeddings go through a linear layer, as RemBERT's
};

/// From the text of a config.json whose model_type is bert, rembert or bleurt (the PyTorch port of BLEURT). kBadData naming
/// `origin` and the field.
BertConfig parse_bert_config(const std::string& json, const std::string& origin);

/// A row: tokens of type 0, then, from `second` on, of type 1.
struct BertRow {
  std::vector<std::int32_t> token;
  std::int64_t second = 0;
};

class Bert {
 public:
  /// A Hugging Face folder: config.json and safetensors, names with or without the model's prefix ("bert.", "rembert.",
  /// "bleurt."). The head is `classifier` [1, width]. Errors: kNoInput; kBadData naming file and tensor.
  explicit Bert(const std::string& folder);
  const BertConfig& config() const { return config_; }

  /// Hidden states [tokens, width] behind the last layer. kInternal for a token outside the vocabulary or a row without tokens or
  /// longer than max_positions.
  at::Tensor hidden(std::span<const BertRow> rows) const;
  /// [rows]: classifier(tanh(pooler(hidden state of the row's first token))). kBadData for a model without pooler or head.
  at::Tensor regression(std::span<const BertRow> rows) const;

 private:
  struct Linear {
    at::Tensor weight, bias;  // [out, in], [out]
  };
  struct Norm {
    at::Tensor weight, bias;
  };
  struct Layer {
    Linear q, k, v, attention_out, up, down;
    Norm attention_norm, norm;
  };
  at::Tensor attend(const Layer& layer, const at::Tensor& x, std::span<const std::int64_t> begin) const;
  at::Tensor normed(const at::Tensor& x, const Norm& norm) const;
  at::Tensor activated(const at::Tensor& x) const;

  std::string folder_;
  BertConfig config_;
  at::Tensor words_, positions_, types_;
  Norm embedding_norm_;
  Linear projection_;  // undefined without one
  std::vector<Layer> layers_;
  Linear pooler_, head_;  // undefined where the folder has none
};

}  // namespace thinkrec
