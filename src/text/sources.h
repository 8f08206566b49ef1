#pragma once
// The kinds of files that tokenizers come in; load_tokenizer picks one. Private to src/text.

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "io/gguf.h"
#include "text/byte_bpe.h"
#include "text/tokenizer.h"

namespace thinkrec {

/// What a tokenizer_config.json next to a tokenizer says of it.
struct TokenizerConfig {
  std::optional<std::string> eos_token;
  std::optional<bool> add_bos_token;
  std::optional<bool> lower_case, strip_accents, chinese;  ///< of WordPiece
};

/// Each fails with kNoInput where the file cannot be read, kBadData naming it and what is wrong or not supported in it.
std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::string& path);
ByteBpeSpec read_gguf_tokenizer(const GgufFile& file);
std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::string& path, const TokenizerConfig& config);  ///< tokenizer.json
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& path, const TokenizerConfig& config);  ///< .model
/// An empty config where there is no such file.
TokenizerConfig load_tokenizer_config(const std::string& path);

/// "a b" as the two tokens of a merge; kBadData naming `origin` where it is not two tokens with one space between.
std::pair<std::string, std::string> split_merge(const std::string& merge, const std::string& origin);

}  // namespace thinkrec
