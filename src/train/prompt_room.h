#pragma once
// Whether all that a run will read fits in prompt.max_tokens, before anything is trained.

#include <set>
#include <string>

#include "core/recipe.h"
#include "data/dataset.h"
#include "text/tokenizer.h"

namespace thinkrec {

/// Of the stages (empty: all): the questions, without any history, about the items of the rows that they train on, validate on and score, and
/// the reasons that they may draw. kBadData naming the data set, the first of those that do not fit and how many there are. Costs a
/// tokenisation of each item and reason.
void check_prompt_room(const Dataset& dataset, const Tokenizer& tokenizer, const Recipe& recipe,
                       const std::set<std::string>& stages);

}  // namespace thinkrec
