#pragma once
// Prompts for people: each token of a row, with what its place is used for.

#include <string>

#include "data/dataset.h"
#include "data/prompt.h"

namespace thinkrec {

/// A heading, then a line a token: position, id, text in JSON's escapes, and where there is one, the vector that stands at a slot or the loss
/// that the token has: CE, in the answer (`all`: wherever a word is), BCE at the answer's first token. `row` is the builder's.
std::string list_prompt(const Dataset& dataset, const Tokenizer& tokenizer, const EncodedRow& row, bool all);

}  // namespace thinkrec
