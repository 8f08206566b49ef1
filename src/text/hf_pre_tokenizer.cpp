#include "text/hf_pre_tokenizer.h"

#include "core/error.h"
#include "io/bounded_json.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

SplitRule read_split(const Json& node, const std::string& path) {
  const Json& pattern = json_member(node, "pattern");
  const Json regex = pattern.is_object() ? json_member(pattern, "Regex") : Json();
  if (!regex.is_string())
    fail(ExitCode::kBadData, "{}: the pre-tokenizer Split is supported with a regular expression only", path);
  if (json_text(node, "behavior", "", path) != "Isolated" || json_flag(node, "invert", false, path)) {
    fail(ExitCode::kBadData, "{}: the pre-tokenizer Split is supported with the behavior 'Isolated', not inverted, only", path);
  }
  const auto& text = regex.get_ref<const std::string&>();
  if (const auto rule = rule_of_regex(text)) return *rule;
  // Named in full: what is not printable ASCII in it is all that in_quotes() would have to change.
  fail(ExitCode::kBadData,
       "{}: the pre-tokenizer's regular expression is none that is supported (those of GPT-2, Llama 3 and Qwen 2): {}", path,
       regex.dump(-1, ' ', true));
}

struct Cuts {
  std::vector<SplitRule> rules;
  bool byte_level = false;  ///< ByteLevel was met
};

void read_node(const Json& node, const std::string& path, Cuts& cuts) {
  if (!node.is_object()) fail(ExitCode::kBadData, "{}: a pre-tokenizer that is not an object", path);
  const std::string type = json_text(node, "type", "", path);
  if (type == "Sequence") {
    const Json& members = json_member(node, "pretokenizers");
    if (!members.is_array()) fail(ExitCode::kBadData, "{}: the pre-tokenizer Sequence has no 'pretokenizers'", path);
    for (const Json& member : members) read_node(member, path, cuts);
    return;
  }
  // After ByteLevel the text is in the byte alphabet, and other cuts would see that.
  if (cuts.byte_level)
    fail(ExitCode::kBadData, "{}: the pre-tokenizer {} after ByteLevel is not supported", path, in_quotes(type));
  if (type == "ByteLevel") {
    if (json_flag(node, "add_prefix_space", true, path))
      fail(ExitCode::kBadData, "{}: add_prefix_space of ByteLevel is not supported", path);
    if (json_flag(node, "use_regex", true, path)) cuts.rules.push_back(SplitRule::kGpt2);
    cuts.byte_level = true;
  } else if (type == "Digits") {
    if (!json_flag(node, "individual_digits", false, path)) {
      fail(ExitCode::kBadData, "{}: the pre-tokenizer Digits is supported with individual_digits only", path);
    }
    cuts.rules.push_back(SplitRule::kDigits);
  } else if (type == "Split") {
    cuts.rules.push_back(read_split(node, path));
  } else {
    fail(ExitCode::kBadData, "{}: the pre-tokenizer {} is not supported; ByteLevel, Digits, Split and Sequence are", path,
         in_quotes(type));
  }
}

}  // namespace

std::vector<SplitRule> read_hf_pre_tokenizer(const Json& node, const std::string& path) {
  Cuts cuts;
  if (!node.is_null()) read_node(node, path, cuts);
  if (!cuts.byte_level) {
    fail(ExitCode::kBadData,
         "{}: not byte-level BPE (no ByteLevel pre-tokenizer); give the model's sentencepiece .model where it has one", path);
  }
  return cuts.rules;
}

}  // namespace thinkrec
