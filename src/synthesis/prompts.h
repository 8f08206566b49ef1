#pragma once
// The paper's prompts for synthesis (appendix B.1 and B.3), filled with a data set's titles as they are.

#include <cstdint>
#include <vector>

#include "data/dataset.h"
#include "synthesis/chat.h"

namespace thinkrec {

/// B.1: the item's title and profile (or, without one, the keywords it has), then the instruction.
std::vector<ChatMessage> keyword_prompt(const Dataset& dataset, std::size_t item);

/// B.3, first turn: "A user has given ratings to the following books: ..." with the last `history` items and whether they were liked. The
/// paper says "high ratings", which the disliked ones among them are not.
std::vector<ChatMessage> first_turn(const Dataset& dataset, std::int64_t row, std::int64_t history);

/// B.3, reflect turn in the paper's wording number `number` % 3, with the right answer revealed, and the verdict to begin with.
ChatMessage reflect_turn(const Dataset& dataset, std::int64_t row, std::int64_t number);

/// How a small model's reply begins, for each verdict: `Yes, because like "A" and "B", which the user liked, "C" is a`, C being the item, A
/// and B those of the last `history` items with that label that share most keywords with it, the later ones of equals. Left alone, it
/// ends behind the verdict, says it again in other words, or makes titles up. Without such an item: `Yes, because "C" is a`.
std::vector<std::string> verdict_openings(const Dataset& dataset, std::int64_t row, std::int64_t history);
/// Counts up whenever verdict_openings changes.
inline constexpr int kOpeningRules = 2;

}  // namespace thinkrec
