#pragma once
// How byte-level BPE tokenizers cut text into words before merging, one hand-written matcher for each regular expression in use.

#include <functional>
#include <string_view>

namespace thinkrec {

enum class SplitRule {
  kNone,            ///< the whole text is one word
  kGpt2,            ///< '(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kDigitsThenGpt2,  ///< single digits (\p{N}) apart first, then GPT-2's rule on what lies between (SmolLM2)
  kLlama3,          ///< (?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  kQwen2,           ///< as Llama 3, numbers one by one
};

/// Calls `word` for each word of the text, in order; together they are the text.
void split_words(SplitRule rule, std::u32string_view text, const std::function<void(std::u32string_view)>& word);

}  // namespace thinkrec
