// Byte-level BPE from a Hugging Face tokenizer.json.

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/file.h"
#include "text/byte_bpe.h"
#include "text/sources.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;
constexpr int kMostDepth = 64;
constexpr std::int64_t kMostIds = 1 << 24;

Json parse_bounded(const std::string& path) {
  const std::string text = read_file(path, kMostBytes);
  bool too_deep = false;
  const Json json = Json::parse(
      text, [&](int depth, Json::parse_event_t, Json&) { return !(too_deep = too_deep || depth > kMostDepth); }, false);
  if (too_deep) fail(ExitCode::kBadData, "{}: nested deeper than {} levels", path, kMostDepth);
  if (json.is_discarded() || !json.is_object()) fail(ExitCode::kBadData, "{}: not a JSON object", path);
  return json;
}

SplitRule rule_of_regex(const std::string& regex, const std::string& path) {
  if (regex == R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)") return SplitRule::kLlama3;
  if (regex == R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)") return SplitRule::kQwen2;
  if (regex == R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)" ||
      regex == R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)") {
    return SplitRule::kGpt2;
  }
  fail(ExitCode::kBadData, "{}: the pre-tokenizer's regular expression is not one that thinkrec knows (GPT-2, Llama 3, Qwen 2): {}", path, regex);
}

/// Appends the splitting rules of a pre-tokenizer, innermost last.
void read_rules(const Json& node, const std::string& path, ByteBpeSpec& spec, bool& digits) {
  if (!node.is_object()) return;
  const std::string type = node.value("type", std::string());
  if (type == "Sequence") {
    if (!node.contains("pretokenizers") || !node["pretokenizers"].is_array()) fail(ExitCode::kBadData, "{}: a pre-tokenizer sequence without members", path);
    for (const Json& member : node["pretokenizers"]) read_rules(member, path, spec, digits);
  } else if (type == "ByteLevel") {
    if (node.value("add_prefix_space", false)) fail(ExitCode::kBadData, "{}: add_prefix_space is not supported", path);
    if (node.value("use_regex", true)) {
      spec.rules.push_back(digits ? SplitRule::kDigitsThenGpt2 : SplitRule::kGpt2);
      digits = false;
    }
  } else if (type == "Digits") {
    if (!node.value("individual_digits", false)) fail(ExitCode::kBadData, "{}: the pre-tokenizer Digits is supported with individual_digits only", path);
    digits = true;
  } else if (type == "Split") {
    const Json pattern = node.value("pattern", Json::object());
    if (!pattern.is_object() || !pattern.contains("Regex") || !pattern["Regex"].is_string()) fail(ExitCode::kBadData, "{}: a Split pre-tokenizer without a regular expression", path);
    if (node.value("behavior", std::string()) != "Isolated" || node.value("invert", false)) fail(ExitCode::kBadData, "{}: a Split pre-tokenizer other than 'Isolated' is not supported", path);
    spec.rules.push_back(rule_of_regex(pattern["Regex"].get<std::string>(), path));
  } else {
    fail(ExitCode::kBadData, "{}: pre-tokenizer '{}' is not supported", path, type);
  }
}

std::int32_t id_of(const Json& value, const std::string& path) {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 || value.get<std::int64_t>() >= kMostIds) {
    fail(ExitCode::kBadData, "{}: a token id is not an integer in 0..{}", path, kMostIds - 1);
  }
  return value.get<std::int32_t>();
}

void place(ByteBpeSpec& spec, const std::string& token, std::int32_t id, const std::string& path) {
  if (static_cast<std::size_t>(id) >= spec.tokens.size()) spec.tokens.resize(static_cast<std::size_t>(id) + 1);
  std::string& held = spec.tokens[static_cast<std::size_t>(id)];
  if (!held.empty() && held != token) fail(ExitCode::kBadData, "{}: id {} is given to '{}' and to '{}'", path, id, held, token);
  held = token;
}

/// A BOS that the post-processor puts in front of a single text, where there is one.
std::optional<std::string> prepended_token(const Json& node) {
  if (!node.is_object()) return std::nullopt;
  if (node.value("type", std::string()) == "Sequence" && node.contains("processors") && node["processors"].is_array()) {
    for (const Json& member : node["processors"]) {
      if (auto token = prepended_token(member)) return token;
    }
  }
  if (node.value("type", std::string()) == "TemplateProcessing" && node.contains("single") && node["single"].is_array() && !node["single"].empty()) {
    const Json& first = node["single"][0];
    if (first.is_object() && first.contains("SpecialToken") && first["SpecialToken"].is_object()) return first["SpecialToken"].value("id", std::string());
  }
  return std::nullopt;
}

}  // namespace

std::unique_ptr<Tokenizer> load_hf_tokenizer(const std::string& path) {
  const Json json = parse_bounded(path);
  if (!json.contains("model") || !json["model"].is_object()) fail(ExitCode::kBadData, "{}: no 'model' object", path);
  const Json& model = json["model"];
  if (const auto type = model.value("type", std::string("BPE")); type != "BPE") fail(ExitCode::kBadData, "{}: tokenizer model '{}' is not supported; byte-level BPE is", path, type);
  if (json.contains("normalizer") && !json["normalizer"].is_null()) fail(ExitCode::kBadData, "{}: a normalizer is not supported", path);
  if (!model.contains("vocab") || !model["vocab"].is_object() || !model.contains("merges") || !model["merges"].is_array()) fail(ExitCode::kBadData, "{}: 'vocab' or 'merges' is missing", path);
  ByteBpeSpec spec;
  for (const auto& [token, id] : model["vocab"].items()) place(spec, token, id_of(id, path), path);
  for (const Json& merge : model["merges"]) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    if (space == std::string::npos) fail(ExitCode::kBadData, "{}: merge {} is not two tokens", path, merge.dump());
    spec.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  spec.ignore_merges = model.value("ignore_merges", false);
  if (json.contains("added_tokens") && json["added_tokens"].is_array()) {
    for (const Json& added : json["added_tokens"]) {
      if (!added.is_object() || !added.contains("id") || !added.contains("content") || !added["content"].is_string()) fail(ExitCode::kBadData, "{}: an added token without id or content", path);
      const std::int32_t id = id_of(added["id"], path);
      place(spec, added["content"].get<std::string>(), id, path);
      spec.special.push_back(id);
    }
  }
  bool digits = false;
  if (json.contains("pre_tokenizer")) read_rules(json["pre_tokenizer"], path, spec, digits);
  if (digits) fail(ExitCode::kBadData, "{}: the pre-tokenizer Digits is supported in front of ByteLevel only", path);
  const auto special = [&](const std::string& content) -> std::optional<std::int32_t> {
    for (const std::int32_t id : spec.special) {
      if (spec.tokens[static_cast<std::size_t>(id)] == content) return id;
    }
    return std::nullopt;
  };
  if (json.contains("post_processor")) {
    if (const auto token = prepended_token(json["post_processor"])) spec.bos = special(*token);
  }
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "</s>"}) {
    if (!spec.eos) spec.eos = special(name);
  }
  return make_byte_bpe(std::move(spec), path);
}

}  // namespace thinkrec
