#include "text/tokenizer.h"

#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "text/sources.h"
#include "text/unicode.h"
#include "text/wordpiece.h"

namespace thinkrec {

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    fail(ExitCode::kNoInput,
         "{}: no such tokenizer ({}); give a folder, a tokenizer.json, a .gguf, a sentencepiece .model or a vocab.txt", path,
         error.message());
  }
  if (path.ends_with(".gguf") && !fs::is_directory(status)) return load_gguf_tokenizer(path);
  const fs::path folder = fs::is_directory(status) ? fs::path(path) : fs::path(path).parent_path();
  const TokenizerConfig config = load_tokenizer_config((folder / "tokenizer_config.json").string());
  if (fs::is_directory(status)) {
    const fs::path json = folder / "tokenizer.json", model = folder / "tokenizer.model";
    if (fs::exists(json, error)) return load_hf_tokenizer(json.string(), config);
    if (fs::exists(model, error)) return load_sentencepiece_tokenizer(model.string(), config);
    if (const fs::path vocabulary = folder / "vocab.txt"; fs::exists(vocabulary, error))
      return load_wordpiece_vocabulary(vocabulary.string(), config);
    fail(ExitCode::kNoInput, "{}: this folder has neither tokenizer.json nor tokenizer.model nor vocab.txt", path);
  }
  if (path.ends_with(".model")) return load_sentencepiece_tokenizer(path, config);
  if (path.ends_with(".txt")) return load_wordpiece_vocabulary(path, config);
  return load_hf_tokenizer(path, config);
}

std::pair<std::string, std::string> split_merge(const std::string& merge, const std::string& origin) {
  const std::size_t space = merge.find(' ');
  if (space == std::string::npos || space == 0 || space + 1 == merge.size() || merge.find(' ', space + 1) != std::string::npos) {
    fail(ExitCode::kBadData, "{}: the merge {} is not two tokens with a space between", origin, in_quotes(merge));
  }
  return {merge.substr(0, space), merge.substr(space + 1)};
}

}  // namespace thinkrec
