// Byte-level BPE from a Hugging Face tokenizer.json (WordPiece goes to wordpiece_files.cpp), and the tokenizer_config.json next to it.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/error.h"
#include "io/bounded_json.h"
#include "text/byte_alphabet.h"
#include "text/byte_bpe.h"
#include "text/hf_pre_tokenizer.h"
#include "text/sources.h"
#include "text/unicode.h"
#include "text/wordpiece.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;  // Llama 3's has 9 MB
constexpr std::uint64_t kMostConfigBytes = std::uint64_t{16} << 20;
constexpr std::int64_t kMostIds = std::int64_t{1} << 21;  // an id makes the table that long, whatever else is in the file
constexpr std::size_t kMostMerges = std::size_t{1} << 22;

std::int32_t read_id(const Json& value, const std::string& token, const std::string& path) {
  const bool ok = value.is_number_unsigned() && value.get<std::uint64_t>() < static_cast<std::uint64_t>(kMostIds);
  if (!ok) fail(ExitCode::kBadData, "{}: the id of token {} is not an integer in 0..{}", path, in_quotes(token), kMostIds - 1);
  return value.get<std::int32_t>();
}

void place(ByteBpeSpec& spec, const std::string& token, std::int32_t id, const std::string& path) {
  const auto at = static_cast<std::size_t>(id);
  if (token.empty()) fail(ExitCode::kBadData, "{}: the token of id {} has no text", path, id);
  if (at >= spec.tokens.size()) spec.tokens.resize(at + 1);
  if (!spec.tokens[at].empty()) {
    fail(ExitCode::kBadData, "{}: id {} is there twice, of {} and of {}", path, id, in_quotes(spec.tokens[at]), in_quotes(token));
  }
  spec.tokens[at] = token;
}

/// Options of the model that would change what encode does, and that byte-level BPE of today's language models does not use.
void refuse_options(const Json& model, const std::string& path) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!json_text(model, key, "", path).empty()) fail(ExitCode::kBadData, "{}: the model's {} is not supported", path, key);
  }
  if (json_flag(model, "byte_fallback", false, path))
    fail(ExitCode::kBadData, "{}: the model's byte_fallback is not supported", path);
  const Json& dropout = json_member(model, "dropout");
  if (!dropout.is_null() && dropout != 0)
    fail(ExitCode::kBadData, "{}: the model's dropout is not supported: encoding is to be the same every time", path);
}

void read_model(const Json& model, const std::string& path, ByteBpeSpec& spec) {
  if (!model.is_object()) fail(ExitCode::kBadData, "{}: no 'model'; is it a tokenizer.json?", path);
  if (const auto type = json_text(model, "type", "BPE", path); type != "BPE") {
    fail(ExitCode::kBadData, "{}: the tokenizer model {} is not supported; byte-level BPE and WordPiece are", path,
         in_quotes(type));
  }
  refuse_options(model, path);
  const Json &vocab = json_member(model, "vocab"), &merges = json_member(model, "merges");
  if (!vocab.is_object() || !merges.is_array()) fail(ExitCode::kBadData, "{}: the model's 'vocab' or 'merges' is missing", path);
  if (merges.size() > kMostMerges)
    fail(ExitCode::kBadData, "{}: {} merges; at most {} are supported", path, merges.size(), kMostMerges);
  for (const auto& [token, id] : vocab.items()) place(spec, token, read_id(id, token, path), path);
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else if (merge.is_string()) {
      spec.merges.push_back(split_merge(merge.get<std::string>(), path));
    } else {
      fail(ExitCode::kBadData, "{}: merge {} is not two tokens", path, spec.merges.size());
    }
  }
  spec.ignore_merges = json_flag(model, "ignore_merges", false, path);
}

/// Without a token for every byte that UTF-8 uses, the package would put this one into texts; encode makes no special tokens.
void refuse_unknown_token(const Json& model, const ByteBpeSpec& spec, const std::string& path) {
  if (json_member(model, "unk_token").is_null()) return;
  const std::unordered_set<std::string> tokens(spec.tokens.begin(), spec.tokens.end());
  if (const auto byte = first_missing_byte(tokens)) {
    fail(ExitCode::kBadData, "{}: an unk_token together with a vocabulary that lacks byte 0x{:02x} is not supported", path,
         *byte);
  }
}

void read_added_tokens(const Json& added_tokens, const std::string& path, ByteBpeSpec& spec) {
  if (added_tokens.is_null()) return;
  if (!added_tokens.is_array()) fail(ExitCode::kBadData, "{}: 'added_tokens' is not a list", path);
  std::unordered_set<std::int32_t> seen;
  for (const Json& added : added_tokens) {
    if (!added.is_object()) fail(ExitCode::kBadData, "{}: an added token is not an object", path);
    const std::string content = json_text(added, "content", "", path);
    const std::int32_t id = read_id(json_member(added, "id"), content, path);
    if (!seen.insert(id).second) fail(ExitCode::kBadData, "{}: the added token {} is there twice", path, id);
    const bool in_vocabulary = !content.empty() && static_cast<std::size_t>(id) < spec.tokens.size() &&
                               spec.tokens[static_cast<std::size_t>(id)] == content;
    if (!in_vocabulary) place(spec, content, id, path);
    const bool special = json_flag(added, "special", false, path);
    (special ? spec.control : in_vocabulary ? spec.named : spec.added).push_back(id);
  }
}

/// The token that the post-processor puts in front of a single text, where there is one.
std::optional<std::string> prepended_token(const Json& node, const std::string& path) {
  if (node.is_null()) return std::nullopt;
  if (!node.is_object()) fail(ExitCode::kBadData, "{}: the post-processor is not an object", path);
  const std::string type = json_text(node, "type", "", path);
  if (type == "ByteLevel") return std::nullopt;  // concerns offsets only
  if (type == "Sequence") {
    const Json& members = json_member(node, "processors");
    if (!members.is_array()) fail(ExitCode::kBadData, "{}: the post-processor Sequence has no 'processors'", path);
    std::optional<std::string> token;
    for (const Json& member : members) {
      if (auto found = prepended_token(member, path)) token = std::move(found);
    }
    return token;
  }
  if (type != "TemplateProcessing") {
    fail(ExitCode::kBadData, "{}: the post-processor {} is not supported; ByteLevel, TemplateProcessing and Sequence are", path,
         in_quotes(type));
  }
  const Json& single = json_member(node, "single");
  if (!single.is_array() || single.empty()) fail(ExitCode::kBadData, "{}: TemplateProcessing has no 'single' template", path);
  const Json token = single[0].is_object() ? json_member(single[0], "SpecialToken") : Json();
  if (token.is_null()) return std::nullopt;
  if (!token.is_object()) fail(ExitCode::kBadData, "{}: TemplateProcessing has a 'SpecialToken' that is not an object", path);
  return json_text(token, "id", "", path);
}

}  // namespace

std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::string& path, const TokenizerConfig& config) {
  const Json json = read_json_object(path, kMostBytes);
  if (const Json& model = json_member(json, "model"); model.is_object() && json_member(model, "type") == "WordPiece")
    return read_wordpiece(json, path);
  if (const Json& normalizer = json_member(json, "normalizer"); !normalizer.is_null()) {
    const std::string type = normalizer.is_object() ? json_text(normalizer, "type", "", path) : "";
    fail(ExitCode::kBadData, "{}: the normalizer {} is not supported; a tokenizer without one, or the same model as GGUF, is",
         path, in_quotes(type));
  }
  const Json& model = json_member(json, "model");
  ByteBpeSpec spec;
  read_model(model, path, spec);
  spec.rules = read_hf_pre_tokenizer(json_member(json, "pre_tokenizer"), path);
  refuse_unknown_token(model, spec, path);
  read_added_tokens(json_member(json, "added_tokens"), path, spec);

  const auto id_of = [&](const std::string& content) -> std::optional<std::int32_t> {
    for (const auto* ids : {&spec.control, &spec.added, &spec.named}) {
      for (const std::int32_t id : *ids) {
        if (spec.tokens[static_cast<std::size_t>(id)] == content) return id;
      }
    }
    return std::nullopt;
  };
  if (const auto token = prepended_token(json_member(json, "post_processor"), path)) {
    spec.bos = id_of(*token);
    if (!spec.bos) fail(ExitCode::kBadData, "{}: the post-processor's token {} is no added token", path, in_quotes(*token));
  }
  if (config.eos_token) {
    spec.eos = id_of(*config.eos_token);
    if (!spec.eos)
      fail(ExitCode::kBadData, "{}: there is no added token {}, which tokenizer_config.json names as EOS", path,
           in_quotes(*config.eos_token));
  } else {  // a tokenizer.json does not say, so go by the names in use, a turn's end before a text's end
    for (const char* name : {"<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "</s>"}) {
      if (!spec.eos) spec.eos = id_of(name);
    }
  }
  return make_byte_bpe(std::move(spec), path);
}

TokenizerConfig load_tokenizer_config(const std::string& path) {
  TokenizerConfig config;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return config;
  const Json json = read_json_object(path, kMostConfigBytes);
  const Json& eos = json_member(json, "eos_token");  // a text, or an object with its properties
  const std::string content = eos.is_object() ? json_text(eos, "content", "", path) : json_text(json, "eos_token", "", path);
  if (!content.empty()) config.eos_token = content;
  const auto flag = [&](const char* key, std::optional<bool>& to) {
    if (!json_member(json, key).is_null()) to = json_flag(json, key, false, path);
  };
  flag("add_bos_token", config.add_bos_token);
  flag("do_lower_case", config.lower_case);
  flag("strip_accents", config.strip_accents);
  flag("tokenize_chinese_chars", config.chinese);
  return config;
}

}  // namespace thinkrec
