#pragma once
// Reasons in words, many at once, each under its own adapter: what recommendations and the text metrics show.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adapters/lora.h"
#include "data/prompt.h"
#include "model/generator.h"
#include "train/session.h"
#include "train/stages.h"

namespace thinkrec {

struct ReasonToWrite {
  const EncodedRow* prompt;
  std::vector<std::int32_t> first;     ///< the answer's first token is one of these
  std::optional<LoraAdapter> adapter;  ///< none: the untouched base model
};

class ReasonWriter {
 public:
  /// Session and state must outlive it. kConfig for 8 bits on a GPU.
  ReasonWriter(const Session& session, const RunState& state, std::int64_t max_new_tokens, Precision precision = Precision::kFp32);
  ~ReasonWriter();
  /// One greedy reason each, in one line, no kProseNgram tokens in a row of it twice. `features` give the slots' vectors; may
  /// be null where no prompt has slots. Those of one adapter compute once what their prompts begin with in common (on the CPU).
  std::vector<std::string> write(std::span<const ReasonToWrite> reasons, const FeatureBank* features);

 private:
  const Session& session_;
  const RunState& state_;
  std::int64_t max_new_tokens_;
  Precision precision_;
  std::unique_ptr<Generator> generator_;  // made for the first reason
};

}  // namespace thinkrec
