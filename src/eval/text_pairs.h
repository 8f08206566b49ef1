#pragma once
// Pairs of texts, scored with every text metric.

#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "eval/wordnet.h"

namespace thinkrec {

struct TextPairs {
  std::vector<std::string> reference, candidate;  ///< of the same length
};

struct TextScores {
  double meteor, bleu4, rouge_l;
  double bleurt = std::numeric_limits<double>::quiet_NaN();  ///< NaN where there is no checkpoint
};

struct TextMetric {
  const char* key;   ///< in JSON
  const char* name;  ///< in tables
  double TextScores::*value;
};
/// Every metric; BLEURT, the last, only where there is a checkpoint.
std::span<const TextMetric> text_metrics(bool bleurt);

/// Scores of pairs by a learnt metric, one a pair; empty: there is none. BLEURT's is model/bleurt.h, which this folder does not know.
using LearntMetric = std::function<std::vector<double>(const TextPairs&)>;

struct TextEvaluation {
  std::vector<TextScores> pairs;              ///< in the order of the pairs
  TextScores mean;                            ///< over the pairs
  double reference_tokens, candidate_tokens;  ///< means, as metric_tokens splits them
  bool bleurt = false;                        ///< whether BLEURT is among the metrics

  std::string table() const;  ///< for the terminal, ends with a newline
  /// {"pairs", "tokens": {...}, "mean": {"meteor", "bleu4", "rouge_l", "bleurt"}, "scores": [{...}, ...]}; without a checkpoint "bleurt" is
  /// nowhere, and "left_out": ["bleurt"].
  nlohmann::json json() const;
};

/// Scores pairs, of which there must be one (kInternal).
TextEvaluation score_texts(const TextPairs& pairs, const WordNet& wordnet, const LearntMetric& bleurt = {});

/// JSON lines {"reference": TEXT, "candidate": TEXT}, plain or gzip; other members are ignored and blank lines skipped. Errors:
/// kNoInput; kBadData with file:line for a line that is no such object, has a key twice, is nested deeper than 64 or has a text of more
/// than 16,384 tokens, and for a file without a pair.
TextPairs read_text_pairs(const std::string& path);

}  // namespace thinkrec
