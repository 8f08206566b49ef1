#pragma once
// The "pre_tokenizer" of a tokenizer.json. Private to src/text.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/pre_tokenizer.h"

namespace thinkrec {

/// The cuts that a pre-tokenizer makes, in their order. It has to end in ByteLevel, the mark of a byte-level vocabulary.
/// Error kBadData naming `path` and what is not supported.
std::vector<SplitRule> read_hf_pre_tokenizer(const nlohmann::json& node, const std::string& path);

}  // namespace thinkrec
