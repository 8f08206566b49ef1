#pragma once
// Tokenizers as Hugging Face's packages read them.

#include <string>

namespace thinkrec {

/// Puts the tokenizer of `model` (what load_tokenizer takes) into `folder`, which exists: a folder's tokenizer files are copied as they
/// are, one inside a GGUF file is written as tokenizer.json and tokenizer_config.json, with its chat template. kNoInput, kBadData naming
/// the file; kIo.
void save_tokenizer(const std::string& model, const std::string& folder);

}  // namespace thinkrec
