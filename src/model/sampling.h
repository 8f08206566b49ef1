#pragma once
// The next token from a row's logits: what transformers' logits processors and warpers do, in their order, and the draw.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace thinkrec {

/// no_repeat_ngram of generated prose: with 4, " (199" could not come again, and with it no second title of a decade.
inline constexpr std::int64_t kProseNgram = 5;

struct GenerateConfig {
  std::int64_t max_new_tokens = 128;
  std::optional<std::int32_t> eos;  ///< generation of a row ends with it; it is not part of the result
  std::vector<std::int32_t> stop;   ///< further tokens that end a row (end of a chat turn)
  std::vector<std::int32_t> first;  ///< when not empty, the first new token is one of these (a forced choice between verdicts)
  std::vector<std::vector<std::int32_t>> opening;  ///< [first] or none: the new tokens that follow the first that was chosen
  double temperature = 0;                          ///< 0: greedy
  double top_p = 1;  ///< with temperature > 0: only the likeliest tokens that together reach this (Holtzman et al. 2020)
  double repetition_penalty =
      1;  ///< logits of tokens seen before: divided by it when positive, else times it (Keskar et al. 2019)
  std::int64_t no_repeat_ngram = 0;  ///< no n tokens in a row that were there before; 0: off
  bool remember_prompt = false;      ///< penalty and n-grams see the prompt too, as in transformers; else the new text alone
  std::uint64_t seed = 0;            ///< with temperature > 0: row r, token t depends on (seed, sample of the row, t) alone
};

/// kConfig naming the setting that is out of range: temperature < 0, top_p outside (0, 1], repetition_penalty <= 0, a negative count.
void check(const GenerateConfig& config);

/// Repetition penalty, no-repeat n-gram, then with temperature > 0 temperature and top-p, in place; what is left out becomes -infinity.
/// `seen` is the text that the first two look at; feature slots (negative) in it are passed over.
void filter_logits(std::span<float> logits, std::span<const std::int32_t> seen, const GenerateConfig& config);

/// New token number `place` of the row `sample`; `logits` are filtered in place. The lowest of equally likely tokens when greedy.
std::int32_t choose_token(std::span<float> logits, std::span<const std::int32_t> seen, std::int64_t place, std::uint64_t sample,
                          const GenerateConfig& config);

}  // namespace thinkrec
