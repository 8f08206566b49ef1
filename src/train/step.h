#pragma once
// One training step over all ranks: share rows, forward, backward, reduce, clip, update. Knows no stages, files or schedules.

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "adapters/lora.h"
#include "adapters/projector.h"
#include "comm/collectives.h"
#include "model/llama.h"
#include "train/features.h"
#include "train/parameter_set.h"
#include "train/row_losses.h"

namespace thinkrec {

struct StepConfig {
  LossWeights weights;
  CeSpan span = CeSpan::kAnswer;
  std::int32_t yes_token = 0;
  std::int64_t first_layer = 0;  ///< lowest trainable layer; those below run frozen, without dropout or gradient
  bool train_projector = false;
  double dropout = 0.05;
  double clip = 1.0;                 ///< largest gradient norm; 0: no clipping
  std::uint64_t seed = 0;            ///< of the dropout
  std::int64_t micro_tokens = 2048;  ///< a forward and backward pass holds about so many tokens
  bool strict = false;               ///< gradients row by row, summed in row order: the same bits for any number of ranks
  std::int64_t cache_bytes = std::int64_t{1} << 30;  ///< for hidden states below first_layer; recomputed when over it
};

struct StepResult {
  double loss = 0, bce = 0, ce = 0;  ///< means over the step's rows; bce and ce unweighted
  std::vector<double> row_losses;    ///< weighted, in row order, on every rank
  double gradient_norm = 0;
  bool finite = true;       ///< false: nothing was updated
  bool stop = false;        ///< some rank was asked to stop
  std::int64_t tokens = 0;  ///< of all ranks
};

class StepEngine {
 public:
  /// The parameters (of `adapter` and `projector`) must outlive the engine. `features` may be null when no row has slots.
  StepEngine(const Llama& model, const LoraAdapter& adapter, const Projector& projector, const FeatureBank* features,
             ParameterSet& parameters, StepConfig config, Collectives& ranks);

  /// `rows` is the whole step's batch, the same on every rank; `step` is 1-based. `stop` is this rank's wish to stop.
  StepResult run(std::int64_t step, std::span<const StepRow> rows, double learning_rate, bool stop = false);

 private:
  struct RowValue {
    std::int64_t place;
    double bce, ce;
  };
  void accumulate(std::int64_t step, std::span<const StepRow> rows, std::span<const std::int64_t> places, double scale,
                  std::vector<RowValue>& values);
  at::Tensor lower_hidden(std::span<const StepRow> rows, const LossBatch& batch);
  at::Tensor cached_hidden(const StepRow& row);
  void sum_in_row_order(std::vector<at::Tensor>& own, std::span<const std::int64_t> places, std::int64_t rows);

  const Llama& model_;
  const LoraAdapter& adapter_;
  const Projector& projector_;
  const FeatureBank* features_;
  ParameterSet& parameters_;
  StepConfig config_;
  Collectives& ranks_;
  std::unordered_map<std::uint64_t, at::Tensor> cache_;
  std::int64_t cached_bytes_ = 0;
};

/// Splits rows (by their token counts, in order) into runs of at most about `limit` tokens; a longer row is a run of its own.
std::vector<std::pair<std::size_t, std::size_t>> micro_batches(std::span<const std::int64_t> tokens, std::int64_t limit);

}  // namespace thinkrec
