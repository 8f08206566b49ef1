#pragma once
// BLEURT (Sellam et al. 2020): a learnt score of a candidate text against a reference, by a BERT or RemBERT encoder with a
// regression head. Scores lie mostly between 0 and 1, but need not.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/bert.h"
#include "text/tokenizer.h"

namespace thinkrec {

class Bleurt {
 public:
  /// A folder with config.json, safetensors, and sentencepiece.model (RemBERT), tokenizer.json or vocab.txt: what
  /// launch/convert_bleurt.py writes, or a Hugging Face folder. Errors: kNoInput; kBadData naming file and defect, and for a
  /// tokenizer without [CLS] and [SEP] or with more tokens than the model.
  explicit Bleurt(const std::string& folder);

  /// [CLS] reference [SEP] candidate [SEP], the second part of type 1, at most min(512, max_positions) tokens: what is too long
  /// loses tokens at its end, the longer of the two first, in a tie the candidate.
  BertRow encode(const std::string& reference, const std::string& candidate) const;

  /// One score a pair.
  std::vector<double> score(std::span<const std::string> references, std::span<const std::string> candidates) const;

 private:
  Bert model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::int32_t cls_, sep_;
};

}  // namespace thinkrec
