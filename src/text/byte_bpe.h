#pragma once
// Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's bytes as characters), cut into words first.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace thinkrec {

/// What a tokenizer file says. Every id below tokens.size() is either of an ordinary token, in `control` or `added`, or empty.
struct ByteBpeSpec {
  std::vector<std::string> tokens;  ///< by id; ordinary ones in GPT-2's byte alphabet; an id without a token is empty
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank; of a pair that is there twice the later rank counts
  std::vector<std::int32_t> control;                        ///< never made by encode, left out by decode: "<|im_start|>"
  std::vector<std::int32_t> added;  ///< plain text with an id of its own: made by merges only, decoded as it is written
  std::vector<std::int32_t> named;  ///< ordinary tokens that find_special shall find all the same
  std::vector<SplitRule> rules;     ///< one after the other: each cuts the pieces of the one before
  bool ignore_merges = false;       ///< a whole word that is an ordinary token is taken as it is
  std::optional<std::int32_t> bos, eos;
};

/// Checks the spec and builds the tokenizer. A byte that the vocabulary has no token for is left out by encode, as in the package
/// `tokenizers`. Error kBadData naming `origin` and the token or merge: ids out of range, a token that is there twice, an
/// ordinary token outside the byte alphabet, a merge of or into tokens that are not there.
std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec, const std::string& origin);

}  // namespace thinkrec
