// The tokenizer inside a GGUF file, as llama.cpp's converters write it.

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "io/gguf.h"
#include "text/byte_bpe.h"
#include "text/sources.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

/// Values of tokenizer.ggml.token_type; 6, a raw byte, is of sentencepiece models only.
enum GgufTokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5 };

constexpr std::size_t kMostTokens = std::size_t{1} << 21;  // eight times the largest vocabulary about
constexpr std::size_t kMostMerges = std::size_t{1} << 22;

/// What tokenizer.ggml.pre calls the pre-tokenizers, with what else it implies.
void read_pre_tokenizer(const std::string& pre, const std::string& path, ByteBpeSpec& spec) {
  if (pre == "smollm") {
    spec.rules = {SplitRule::kDigits, SplitRule::kGpt2};
  } else if (pre == "gpt-2" || pre == "default") {
    spec.rules = {SplitRule::kGpt2};
  } else if (pre == "llama-bpe") {
    spec.rules = {SplitRule::kLlama3};
    spec.ignore_merges = true;
  } else if (pre == "qwen2") {
    spec.rules = {SplitRule::kQwen2};
  } else {
    fail(ExitCode::kBadData,
         "{}: the pre-tokenizer (tokenizer.ggml.pre) {} is not supported; smollm, gpt-2, default, llama-bpe and qwen2 are", path,
         in_quotes(pre));
  }
}

void read_token_types(const std::vector<std::int64_t>& types, const std::string& path, ByteBpeSpec& spec) {
  if (types.size() != spec.tokens.size()) {
    fail(ExitCode::kBadData, "{}: tokenizer.ggml.token_type has {} entries for {} tokens", path, types.size(),
         spec.tokens.size());
  }
  for (std::size_t at = 0; at < types.size(); ++at) {
    const auto id = static_cast<std::int32_t>(at);
    switch (types[at]) {
      case kNormal:
        break;
      case kUnknown:
      case kControl:
      case kUnused:
        spec.control.push_back(id);
        break;
      case kUserDefined:
        spec.added.push_back(id);
        break;
      default:
        fail(ExitCode::kBadData, "{}: token {} is of type {}, which byte-level BPE does not have", path, id, types[at]);
    }
  }
}

}  // namespace

ByteBpeSpec read_gguf_tokenizer(const GgufFile& file) {
  const std::string& path = file.path();
  const auto& model = file.get<std::string>("tokenizer.ggml.model");
  if (model != "gpt2") {
    fail(ExitCode::kBadData, "{}: the tokenizer (tokenizer.ggml.model) {} is not supported; byte-level BPE, 'gpt2', is", path,
         in_quotes(model));
  }
  ByteBpeSpec spec;
  spec.tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  const auto& merges = file.get<std::vector<std::string>>("tokenizer.ggml.merges");
  if (spec.tokens.size() > kMostTokens || merges.size() > kMostMerges) {
    fail(ExitCode::kBadData, "{}: {} tokens and {} merges; at most {} and {} are supported", path, spec.tokens.size(),
         merges.size(), kMostTokens, kMostMerges);
  }
  for (const std::string& merge : merges) spec.merges.push_back(split_merge(merge, path));
  const std::string pre = file.has("tokenizer.ggml.pre") ? file.get<std::string>("tokenizer.ggml.pre") : "default";
  if (pre == "default") {
    log_warning(
        "{}: the file does not say how text is split into words (tokenizer.ggml.pre); GPT-2's rule is taken, which is wrong for "
        "Llama 3: convert the model again with a newer llama.cpp",
        path);
  }
  read_pre_tokenizer(pre, path, spec);
  if (file.has("tokenizer.ggml.token_type"))
    read_token_types(file.get<std::vector<std::int64_t>>("tokenizer.ggml.token_type"), path, spec);
  const auto id_of = [&](const char* key) {
    const std::int64_t id = file.get<std::int64_t>(key);
    if (id < 0 || static_cast<std::uint64_t>(id) >= spec.tokens.size()) {
      fail(ExitCode::kBadData, "{}: {} is {}, outside the {} tokens", path, key, id, spec.tokens.size());
    }
    return static_cast<std::int32_t>(id);
  };
  if (file.has("tokenizer.ggml.eos_token_id")) spec.eos = id_of("tokenizer.ggml.eos_token_id");
  // Where a file does not say, llama.cpp puts a BOS in front of Llama 3's texts only.
  const bool add_bos =
      file.has("tokenizer.ggml.add_bos_token") ? file.get<bool>("tokenizer.ggml.add_bos_token") : pre == "llama-bpe";
  if (add_bos) {
    if (!file.has("tokenizer.ggml.bos_token_id")) {
      fail(ExitCode::kBadData, "{}: a BOS token is to be put in front of texts, but tokenizer.ggml.bos_token_id is missing",
           path);
    }
    spec.bos = id_of("tokenizer.ggml.bos_token_id");
  }
  return spec;
}

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::string& path) {
  return make_byte_bpe(read_gguf_tokenizer(GgufFile(path)), path);
}

}  // namespace thinkrec
