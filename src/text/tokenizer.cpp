#include "text/tokenizer.h"

#include <filesystem>

#include "core/error.h"
#include "text/sources.h"

namespace thinkrec {

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  namespace fs = std::filesystem;
  if (!fs::exists(path)) fail(ExitCode::kNoInput, "{}: no such tokenizer; give a folder, a tokenizer.json, a .gguf or a sentencepiece .model", path);
  if (fs::is_directory(path)) {
    const fs::path json = fs::path(path) / "tokenizer.json", model = fs::path(path) / "tokenizer.model";
    if (fs::exists(json)) return load_hf_tokenizer(json.string());
    if (fs::exists(model)) return load_sentencepiece_tokenizer(model.string());
    fail(ExitCode::kNoInput, "{}: this folder has neither tokenizer.json nor tokenizer.model", path);
  }
  if (path.ends_with(".gguf")) return load_gguf_tokenizer(path);
  if (path.ends_with(".model")) return load_sentencepiece_tokenizer(path);
  return load_hf_tokenizer(path);
}

}  // namespace thinkrec
