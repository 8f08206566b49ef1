#include "text/save_tokenizer.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "io/file.h"
#include "io/gguf.h"
#include "text/sources.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pre_tokenizer(const std::vector<SplitRule>& rules) {
  Json steps = Json::array();
  bool cut = false;
  for (const SplitRule rule : rules) {
    cut = rule == SplitRule::kGpt2;
    if (rule == SplitRule::kDigits) {
      steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else if (!cut) {
      steps.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", regex_of_rule(rule)}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
  }
  steps.push_back(byte_level(cut));  // which cuts as GPT-2 does, where that is the last rule
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

/// Tokens of plain text that no merge makes stay out of the vocabulary, as they may hold what its alphabet lacks; the readers of the file
/// count on from its size.
Json tokenizer_json(const ByteBpeSpec& spec, const std::string& path) {
  Json added = Json::array(), vocabulary = Json::object(), merges = Json::array();
  auto& entries = vocabulary.get_ref<Json::object_t&>();  // push_back: every [] would walk over all keys
  const std::set<std::int32_t> outside(spec.added.begin(), spec.added.end());
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!spec.tokens[id].empty() && !outside.contains(static_cast<std::int32_t>(id))) entries.push_back({spec.tokens[id], id});
  }
  for (const std::int32_t id : outside) {
    if (id < static_cast<std::int32_t>(entries.size()))
      fail(ExitCode::kBadData, "{}: the user-defined token {} stands before others of the vocabulary, which tokenizer.json cannot say", path,
           id);
  }
  for (const auto* ids : {&spec.control, &spec.added}) {
    for (const std::int32_t id : *ids) {
      added.push_back({{"id", id},
                       {"content", spec.tokens[static_cast<std::size_t>(id)]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", ids == &spec.control}});
    }
  }
  std::sort(added.begin(), added.end(), [](const Json& a, const Json& b) { return a["id"] < b["id"]; });
  for (const auto& [left, right] : spec.merges) merges.push_back({left, right});
  Json processor = byte_level(true);
  if (spec.bos) {
    const std::string& bos = spec.tokens[static_cast<std::size_t>(*spec.bos)];
    const auto piece = [](const char* kind, const std::string& id, int type) {
      return Json{{kind, {{"id", id}, {"type_id", type}}}};
    };
    processor = {
        {"type", "TemplateProcessing"},
        {"single", {piece("SpecialToken", bos, 0), piece("Sequence", "A", 0)}},
        {"pair",
         {piece("SpecialToken", bos, 0), piece("Sequence", "A", 0), piece("SpecialToken", bos, 1), piece("Sequence", "B", 1)}},
        {"special_tokens", {{bos, {{"id", bos}, {"ids", {*spec.bos}}, {"tokens", {bos}}}}}}};
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer(spec.rules)},
          {"post_processor", processor},
          {"decoder", byte_level(true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", spec.ignore_merges},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

void save_gguf_tokenizer(const std::string& path, const fs::path& folder) {
  const GgufFile file(path);
  const ByteBpeSpec spec = read_gguf_tokenizer(file);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"add_bos_token", spec.bos.has_value()}};
  const auto name = [&](const char* key, const char* metadata) {
    if (!file.has(metadata)) return;
    const std::int64_t id = file.get<std::int64_t>(metadata);
    if (id >= 0 && id < static_cast<std::int64_t>(spec.tokens.size())) config[key] = spec.tokens[static_cast<std::size_t>(id)];
  };
  name("bos_token", "tokenizer.ggml.bos_token_id");
  name("eos_token", "tokenizer.ggml.eos_token_id");
  name("pad_token", "tokenizer.ggml.padding_token_id");
  name("unk_token", "tokenizer.ggml.unknown_token_id");
  if (file.has("llama.context_length")) config["model_max_length"] = file.get<std::int64_t>("llama.context_length");
  if (file.has("tokenizer.chat_template")) config["chat_template"] = file.get<std::string>("tokenizer.chat_template");
  const auto dump = [&](const Json& json) {
    // A token of a file may be no UTF-8; it could not be written as it is.
    try {
      return json.dump(1) + "\n";
    } catch (const Json::exception& error) {
      fail(ExitCode::kBadData, "{}: a token or the chat template is no UTF-8: {}", path, error.what());
    }
  };
  write_file_atomic((folder / "tokenizer.json").string(), dump(tokenizer_json(spec, path)));
  write_file_atomic((folder / "tokenizer_config.json").string(), dump(config));
}

}  // namespace

void save_tokenizer(const std::string& model, const std::string& folder) {
  if (!fs::is_directory(model) && model.ends_with(".gguf")) return save_gguf_tokenizer(model, folder);
  const fs::path from = fs::is_directory(model) ? fs::path(model) : fs::path(model).parent_path();
  bool found = false;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "chat_template.jinja", "vocab.json", "merges.txt"}) {
    if (!fs::exists(from / name)) continue;
    write_file_atomic((fs::path(folder) / name).string(), read_file((from / name).string(), kMostBytes));
    found = true;
  }
  if (!found) fail(ExitCode::kNoInput, "{}: there are no tokenizer files to copy", from.string());
}

}  // namespace thinkrec
