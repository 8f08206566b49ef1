#pragma once
// A file of pairs of texts, scored with every text metric.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "eval/wordnet.h"

namespace thinkrec {

struct TextScores {
  double meteor, bleu4, rouge_l;
};

struct TextEvaluation {
  std::vector<TextScores> pairs;              ///< in the order of the file
  TextScores mean;                            ///< over the pairs
  double reference_tokens, candidate_tokens;  ///< means

  std::string table() const;    ///< for the terminal, ends with a newline
  nlohmann::json json() const;  ///< {"pairs", "tokens": {...}, "mean": {"meteor", "bleu4", "rouge_l"}, "scores": [{...}, ...]}
};

/// Scores JSON lines {"reference": TEXT, "candidate": TEXT}, plain or gzip, as metric_tokens splits them; other members are ignored
/// and blank lines skipped. Errors: kNoInput; kBadData with file:line for a line that is no such object, has a key twice, is nested
/// deeper than 64 or has a text of more than 16,384 tokens, and for a file without a pair.
TextEvaluation score_text_pairs(const std::string& path, const WordNet& wordnet);

}  // namespace thinkrec
