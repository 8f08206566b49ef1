#pragma once
// How byte-level BPE tokenizers cut text into words before merging, one hand-written matcher for each regular expression in use.

#include <functional>
#include <optional>
#include <string_view>

namespace thinkrec {

/// One cut. Tokenizers apply several in turn, each to the pieces of the one before.
enum class SplitRule {
  kDigits,  ///< every digit (is_digit) on its own
  kGpt2,    ///< '(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kLlama3,  ///< (?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  kQwen2,   ///< as Llama 3, numbers one by one
};

/// The rule that a regular expression of a tokenizer.json stands for; nothing where it is not one of those above.
std::optional<SplitRule> rule_of_regex(std::string_view regex);

/// The regular expression of a rule, of those that rule_of_regex knows. Not of kDigits: kInternal.
std::string_view regex_of_rule(SplitRule rule);

/// Calls `word` for each piece of the text, in order; none is empty and together they are the text. Takes linear time.
void split_words(SplitRule rule, std::u32string_view text, const std::function<void(std::u32string_view)>& word);

}  // namespace thinkrec
