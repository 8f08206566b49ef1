#pragma once
// The WordPiece tokenizer of BERT, as the package tokenizers has it. Private to src/text.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "text/sources.h"
#include "text/tokenizer.h"

namespace thinkrec {

struct WordPieceSpec {
  std::vector<std::string> tokens;    ///< by id; empty: no such token
  std::vector<std::int32_t> special;  ///< encode makes none of them but that for unknown words
  std::string unknown = "[UNK]";      ///< what a word that the vocabulary cannot spell becomes
  std::string prefix = "##";          ///< of a token that continues a word
  std::int64_t longest_word = 100;    ///< characters; a longer one is unknown
  bool clean = true;                  ///< take out control characters
  bool chinese = true;                ///< CJK characters are words of their own
  bool strip_accents = true;
  bool lower_case = true;
};

/// kBadData naming `origin` for a vocabulary without the unknown token or with a token twice.
std::unique_ptr<Tokenizer> make_wordpiece(WordPieceSpec spec, const std::string& origin);

/// From the parsed tokenizer.json `path` whose model is WordPiece. kBadData naming what is wrong or not supported in it.
std::unique_ptr<Tokenizer> read_wordpiece(const nlohmann::json& json, const std::string& path);
/// From a vocab.txt, a token a line. kNoInput; kBadData as make_wordpiece, or for an empty line.
std::unique_ptr<Tokenizer> load_wordpiece_vocabulary(const std::string& path, const TokenizerConfig& config);

}  // namespace thinkrec
