#pragma once
// Whether all that a run will read fits in prompt.max_tokens, before anything is trained.

#include <set>
#include <string>

#include "core/recipe.h"
#include "data/dataset.h"
#include "text/tokenizer.h"

namespace thinkrec {

/// What has no room, of the stages (empty: all): questions, without any history, about the items of the rows that they train on, validate on and
/// score, and the reasons that they may draw; a line that names the data set, the first of them, how many there are and the remedy, or an
/// empty text. Costs a tokenisation of each item and reason.
std::string prompt_room_problem(const Dataset& dataset, const Tokenizer& tokenizer, const Recipe& recipe,
                                const std::set<std::string>& stages);

}  // namespace thinkrec
