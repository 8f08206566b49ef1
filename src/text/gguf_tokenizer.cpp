// The tokenizer inside a GGUF file.

#include "core/error.h"
#include "io/gguf.h"
#include "text/byte_bpe.h"
#include "text/sources.h"

namespace thinkrec {

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::string& path) {
  const GgufFile file(path);
  const auto& model = file.get<std::string>("tokenizer.ggml.model");
  if (model != "gpt2") fail(ExitCode::kBadData, "{}: tokenizer '{}' is not supported; byte-level BPE ('gpt2') is", path, model);
  ByteBpeSpec spec;
  spec.tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  for (const std::string& merge : file.get<std::vector<std::string>>("tokenizer.ggml.merges")) {
    const std::size_t space = merge.find(' ');
    if (space == std::string::npos) fail(ExitCode::kBadData, "{}: merge '{}' is not two tokens", path, merge);
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  const std::string pre = file.has("tokenizer.ggml.pre") ? file.get<std::string>("tokenizer.ggml.pre") : "default";
  if (pre == "smollm") {
    spec.rules = {SplitRule::kDigitsThenGpt2};
  } else if (pre == "gpt-2" || pre == "default") {
    spec.rules = {SplitRule::kGpt2};
  } else if (pre == "llama-bpe" || pre == "llama3") {
    spec.rules = {SplitRule::kLlama3};
    spec.ignore_merges = true;
  } else if (pre == "qwen2") {
    spec.rules = {SplitRule::kQwen2};
  } else {
    fail(ExitCode::kBadData, "{}: pre-tokenizer '{}' is not supported; smollm, gpt-2, llama-bpe and qwen2 are", path, pre);
  }
  if (file.has("tokenizer.ggml.token_type")) {
    const auto& types = file.get<std::vector<std::int64_t>>("tokenizer.ggml.token_type");
    if (types.size() != spec.tokens.size()) fail(ExitCode::kBadData, "{}: {} token types for {} tokens", path, types.size(), spec.tokens.size());
    for (std::size_t id = 0; id < types.size(); ++id) {
      if (types[id] != 1) spec.special.push_back(static_cast<std::int32_t>(id));  // anything but a normal token
    }
  }
  const auto id_of = [&](const char* key) { return static_cast<std::int32_t>(file.get<std::int64_t>(key)); };
  if (file.has("tokenizer.ggml.eos_token_id")) spec.eos = id_of("tokenizer.ggml.eos_token_id");
  const bool add_bos = file.has("tokenizer.ggml.add_bos_token") ? file.get<bool>("tokenizer.ggml.add_bos_token") : pre == "llama-bpe";
  if (add_bos && file.has("tokenizer.ggml.bos_token_id")) spec.bos = id_of("tokenizer.ggml.bos_token_id");
  return make_byte_bpe(std::move(spec), path);
}

}  // namespace thinkrec
