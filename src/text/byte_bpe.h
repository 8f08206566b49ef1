#pragma once
// Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's bytes as characters).

#include <string>
#include <unordered_map>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace thinkrec {

struct ByteBpeSpec {
  std::vector<std::string> tokens;        ///< by id, in GPT-2's byte alphabet; an id without a token is empty
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::vector<std::int32_t> special;      ///< ids of control and added tokens: never made by encode, left out by decode
  std::vector<SplitRule> rules;           ///< one after the other: each cuts the pieces of the one before
  bool ignore_merges = false;             ///< a whole word that is a token is taken as it is
  std::optional<std::int32_t> bos, eos;
};

/// Checks the spec (kBadData naming `origin`) and builds the tokenizer.
std::unique_ptr<Tokenizer> make_byte_bpe(ByteBpeSpec spec, const std::string& origin);

}  // namespace thinkrec
