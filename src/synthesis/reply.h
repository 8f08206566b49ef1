#pragma once
// What a model's reply says: text in, text out. Nothing of a reply is ever executed, evaluated or used as a name of anything.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "synthesis/chat.h"

namespace thinkrec {

/// The verdict that a reply states: its first word, "Yes" or "No"; else that of its last "answer: Yes", "prediction is no" and the like.
/// Nothing else counts ("Not sure" and "No doubt" are no verdicts).
std::optional<bool> parse_verdict(std::string_view reply);

struct ReasonBounds {
  std::int64_t min_words = 1;
  std::int64_t max_words = 0;  ///< 0: none
};

/// "Yes. <explanation>": the reply without its leading verdict and a "because" behind it, whitespace collapsed, cut at the last full
/// sentence where there is one, and at the last that max_words allow; the marks in numbers, quoted titles and abbreviations end none.
/// Empty when what is left of the explanation is shorter than min_words or cannot be cut to the bound.
std::string clean_reason(std::string_view reply, bool verdict, const ReasonBounds& bounds = {});

/// At most 10 keywords joined by ", " (paper, section 3.2.1): what stands behind the last "keywords:", split at commas, semicolons, bars and
/// line ends; lower case; without punctuation around, list numbers, digits and ordinals, and stop words at either end; those left with 3 to 40
/// characters and at most 4 words, each once, in the reply's order. Empty when nothing is left.
std::string clean_keywords(std::string_view reply);

/// Moves a leading "<think>...</think>" from text to thinking; one that was cut off before its end is all thinking. Makes both valid UTF-8.
void separate_thinking(ChatReply& reply);

}  // namespace thinkrec
