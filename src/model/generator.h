#pragma once
// Continuous batching (Yu et al. 2022, "Orca") on the CPU: a row joins when there is room, whatever its length and adapter, and leaves when it
// ends. What prompts of one adapter begin with in common is computed once and its keys and values are shared. A row's greedy text in fp32
// is the same whatever rows it shares passes with; so are its draws.

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "model/decoder.h"
#include "model/sampling.h"

namespace thinkrec {

struct GeneratorConfig {
  Precision precision = Precision::kFp32;
  std::int64_t rows = 16;          ///< at work at once
  std::int64_t pass_tokens = 512;  ///< of a pass: rows at work first, then prompts
  std::int64_t shared_from = 16;   ///< tokens that prompts must have in common to share them
  int threads = 1;
};

struct GenerateRow {
  std::vector<std::int32_t> prompt;      ///< -1 - s stands for features[s]
  at::Tensor features;                   ///< [slots, width]; undefined without slots
  std::uint64_t sample = 0;              ///< who the row is, for its draws
  const ProjectionHook* hook = nullptr;  ///< its adapter or mixture; must live until the row has ended
  GenerateConfig config;
};

/// New tokens that a row may have: those asked for, but no more than the model has positions behind its prompt of `length`
/// tokens. kBadData when it has none.
std::int64_t most_new_tokens(const Llama& model, std::int64_t length, const GenerateConfig& config);

/// The new tokens of a row; `ticket` is what add() gave.
struct GeneratedRow {
  std::int64_t ticket;
  std::vector<std::int32_t> tokens;
};

class Generator {
 public:
  /// The model (on the CPU) must outlive it. kInt8 packs the weights here.
  Generator(const Llama& model, const GeneratorConfig& config);
  ~Generator();

  /// Queues a row. kInternal for an empty prompt; else errors as check(config) and most_new_tokens.
  /// A row also ends where the model's positions do.
  std::int64_t add(GenerateRow row);
  /// One pass over the rows at work; false when there was nothing to do.
  bool step();
  /// Rows that have ended since the last call, in the order in which they did.
  std::vector<GeneratedRow> take_finished();
  /// All of these to their ends, in order. Rows added before go on beside them. After an error no row is left, not even those.
  std::vector<std::vector<std::int32_t>> run(std::vector<GenerateRow> rows);

  /// Prompt tokens that went through the model so far; without sharing it would be all of them.
  std::int64_t prompt_tokens() const { return prompt_tokens_; }

 private:
  struct Shared;
  struct Row;
  void admit();
  void share(Row& row);
  void forget_shared();
  void plan(Row& row, std::int64_t room, std::vector<DecodePiece>& pieces, std::vector<Row*>& owners) const;
  void take_tokens(std::span<float> logits, const std::vector<Row*>& asking);

  const Llama& model_;
  GeneratorConfig config_;
  Decoder decoder_;
  std::int64_t tickets_ = 0, prompt_tokens_ = 0;
  std::deque<std::unique_ptr<Row>> waiting_;
  std::vector<std::unique_ptr<Row>> working_;
  std::vector<std::shared_ptr<Shared>> shared_;
  std::vector<GeneratedRow> finished_;
};

}  // namespace thinkrec
