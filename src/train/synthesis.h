#pragma once
// Reasons from the local LM (paper, section 3.2.1 and appendix B.3): ask for a verdict and an explanation, keep it when the parsed verdict
// is right; else reveal the correct answer and ask once more.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "model/llama.h"
#include "text/tokenizer.h"

namespace thinkrec {

struct SynthesisConfig {
  std::int64_t rows = 32;            ///< reasons that the data set shall have in the end
  std::int64_t history = 8;          ///< items of the history that are shown
  std::int64_t max_new_tokens = 72;  ///< of a reply
  std::int64_t batch = 8;            ///< prompts that are answered at once
  std::int64_t most_tried = 0;       ///< rows tried at most; 0: 8 * rows
  std::uint64_t seed = 0;
};

struct SynthesisReport {
  std::int64_t had = 0;  ///< reasons before
  std::int64_t accepted_first = 0, accepted_second = 0, failed = 0;
};

/// The verdict that a reply states: its first word, "Yes" or "No"; nothing else counts ("Not sure" is no verdict).
std::optional<bool> parse_verdict(const std::string& reply);
/// "Yes. <explanation>": the reply without its leading verdict, whitespace collapsed, cut at the last full sentence where there is one.
/// Empty when no explanation is left.
std::string clean_reason(const std::string& reply, bool verdict);

/// A turn of a conversation, laid out as the model's chat format (ChatML, Llama 3, else plain "Role: text"), ready for the assistant.
struct Turn {
  std::string role, text;
};
std::vector<std::int32_t> chat_tokens(const Tokenizer& tokenizer, const std::vector<Turn>& turns);
/// Tokens that end an assistant's turn in that format.
std::vector<std::int32_t> chat_stops(const Tokenizer& tokenizer);

/// Appends reasons to the data set until it has config.rows of them; `saved` is called after each batch, with the data set in a state worth
/// saving. Rows that already have a reason are skipped, so a second call goes on where the first ended.
SynthesisReport synthesize_reasons(const Llama& model, const std::string& model_hash, const Tokenizer& tokenizer,
                                   Dataset& dataset, const SynthesisConfig& config,
                                   const std::function<void(const SynthesisReport&)>& saved);

}  // namespace thinkrec
