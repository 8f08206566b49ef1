#pragma once
// Tokenizers of Llama- and BERT-style models behind one interface. Text is UTF-8; special tokens in it are never recognised: a title
// that contains "<|im_end|>" is encoded as plain characters. Tokens that a model calls user-defined, runs of spaces mostly, are no special ones.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

/// What is known of cutting a text at a seam (text/seam.h) into a and b, to encode the parts on their own.
enum class SeamCuts {
  kNone,      ///< nothing: only the whole text gives its tokens
  kBehind,    ///< encode(a + b) is encode(a), then encode_behind(b)
  kAnywhere,  ///< the same, and encode_behind(b) is encode(b)
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Token ids of the text, without BOS or any other special token. Invalid UTF-8 becomes U+FFFD.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  /// What holds for every text, by the rules of the tokenizer and its vocabulary; kNone where that cannot be told.
  virtual SeamCuts seam_cuts() const { return SeamCuts::kNone; }
  /// Ids of a text that stands behind a seam; it begins with the seam's space. Only where seam_cuts() is not kNone.
  virtual std::vector<std::int32_t> encode_behind(std::string_view text) const { return encode(text); }
  /// The bytes that these tokens stand for; special tokens are left out. May be invalid UTF-8 where a character was cut.
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  virtual std::int32_t size() const = 0;                ///< number of ids, special tokens included
  virtual std::optional<std::int32_t> bos() const = 0;  ///< only where the model prepends one
  virtual std::optional<std::int32_t> eos() const = 0;
  virtual std::optional<std::int32_t> find_special(std::string_view token) const = 0;  ///< id of e.g. "<|im_start|>"
  virtual std::string hash() const = 0;  ///< SHA-256 of the vocabulary, merges and settings
};

/// From a GGUF file, a tokenizer.json, a sentencepiece .model, BERT's vocab.txt, or a folder that holds one of the last three.
/// Errors: kNoInput, kBadData naming the file and what is wrong or not supported in it.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace thinkrec
