// WordPiece from a tokenizer.json or a vocab.txt.

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/bounded_json.h"
#include "io/csv.h"
#include "text/unicode.h"
#include "text/wordpiece.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostIds = std::int64_t{1} << 21;

void read_normalizer(const Json& normalizer, const std::string& path, WordPieceSpec& spec) {
  const std::string type = normalizer.is_object() ? json_text(normalizer, "type", "", path) : "";
  if (type != "BertNormalizer") {
    fail(ExitCode::kBadData, "{}: the normalizer {} is not supported for WordPiece; BertNormalizer is", path, in_quotes(type));
  }
  spec.clean = json_flag(normalizer, "clean_text", true, path);
  spec.chinese = json_flag(normalizer, "handle_chinese_chars", true, path);
  spec.lower_case = json_flag(normalizer, "lowercase", true, path);
  spec.strip_accents = json_flag(normalizer, "strip_accents", spec.lower_case, path);
}

std::int64_t read_id(const Json& value, const std::string& token, const std::string& path) {
  const bool ok = value.is_number_unsigned() && value.get<std::uint64_t>() < static_cast<std::uint64_t>(kMostIds);
  if (!ok) fail(ExitCode::kBadData, "{}: the id of token {} is not an integer in 0..{}", path, in_quotes(token), kMostIds - 1);
  return value.get<std::int64_t>();
}

void read_vocabulary(const Json& vocabulary, const std::string& path, WordPieceSpec& spec) {
  if (!vocabulary.is_object() || vocabulary.empty()) fail(ExitCode::kBadData, "{}: the model's 'vocab' is missing", path);
  for (const auto& [token, value] : vocabulary.items()) {
    const auto id = static_cast<std::size_t>(read_id(value, token, path));
    if (id >= spec.tokens.size()) spec.tokens.resize(id + 1);
    if (!spec.tokens[id].empty())
      fail(ExitCode::kBadData, "{}: id {} is there twice, of {} and of {}", path, id, in_quotes(spec.tokens[id]),
           in_quotes(token));
    spec.tokens[id] = token;
  }
}

/// Added tokens may name those of the vocabulary; others would need to be found in texts, where thinkrec takes none for special.
void read_added_tokens(const Json& added_tokens, const std::string& path, WordPieceSpec& spec) {
  if (added_tokens.is_null()) return;
  if (!added_tokens.is_array()) fail(ExitCode::kBadData, "{}: 'added_tokens' is not a list", path);
  for (const Json& added : added_tokens) {
    if (!added.is_object()) fail(ExitCode::kBadData, "{}: an added token is not an object", path);
    const std::string content = json_text(added, "content", "", path);
    const std::int64_t id = read_id(json_member(added, "id"), content, path);
    const bool known = id < static_cast<std::int64_t>(spec.tokens.size()) && spec.tokens[static_cast<std::size_t>(id)] == content;
    if (!known || content.empty())
      fail(ExitCode::kBadData, "{}: the added token {} is not in the vocabulary under its id", path, in_quotes(content));
    if (json_flag(added, "special", false, path)) spec.special.push_back(static_cast<std::int32_t>(id));
  }
}

}  // namespace

std::unique_ptr<Tokenizer> read_wordpiece(const Json& json, const std::string& path) {
  WordPieceSpec spec;
  read_normalizer(json_member(json, "normalizer"), path, spec);
  const Json& cut = json_member(json, "pre_tokenizer");
  if (const std::string type = cut.is_object() ? json_text(cut, "type", "", path) : ""; type != "BertPreTokenizer") {
    fail(ExitCode::kBadData, "{}: the pre-tokenizer {} is not supported for WordPiece; BertPreTokenizer is", path,
         in_quotes(type));
  }
  const Json& model = json_member(json, "model");
  spec.unknown = json_text(model, "unk_token", spec.unknown, path);
  spec.prefix = json_text(model, "continuing_subword_prefix", spec.prefix, path);
  if (const Json& most = json_member(model, "max_input_chars_per_word"); !most.is_null()) {
    if (!most.is_number_unsigned() || most.get<std::uint64_t>() > 1'000'000)
      fail(ExitCode::kBadData, "{}: the model's max_input_chars_per_word is not an integer in 0..1000000", path);
    spec.longest_word = most.get<std::int64_t>();
  }
  read_vocabulary(json_member(model, "vocab"), path, spec);
  read_added_tokens(json_member(json, "added_tokens"), path, spec);
  return make_wordpiece(std::move(spec), path);
}

std::unique_ptr<Tokenizer> load_wordpiece_vocabulary(const std::string& path, const TokenizerConfig& config) {
  WordPieceSpec spec;
  spec.lower_case = config.lower_case.value_or(true);
  spec.strip_accents = config.strip_accents.value_or(spec.lower_case);
  spec.chinese = config.chinese.value_or(true);
  LineReader lines(path);
  for (std::string line; lines.next(line);) {
    if (line.empty())
      fail(ExitCode::kBadData, "{}:{}: an empty line; a vocabulary has a token a line", path, lines.line_number());
    if (static_cast<std::int64_t>(spec.tokens.size()) >= kMostIds)
      fail(ExitCode::kBadData, "{}: more than {} tokens", path, kMostIds);
    for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
      if (line == name) spec.special.push_back(static_cast<std::int32_t>(spec.tokens.size()));
    }
    spec.tokens.push_back(std::move(line));
  }
  return make_wordpiece(std::move(spec), path);
}

}  // namespace thinkrec
