#pragma once
// The kinds of files that tokenizers come in; load_tokenizer picks one.

#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace thinkrec {

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::string& path);
std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::string& path);             ///< tokenizer.json
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& path);  ///< .model

}  // namespace thinkrec
