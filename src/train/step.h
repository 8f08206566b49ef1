#pragma once
// One training step over all ranks: share rows, forward, backward, reduce, clip, update. Knows no stages, files or schedules.

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "adapters/lora.h"
#include "adapters/projector.h"
#include "comm/collectives.h"
#include "model/llama.h"
#include "train/faults.h"
#include "train/features.h"
#include "train/parameter_set.h"
#include "train/row_losses.h"
#include "train/units.h"

namespace thinkrec {

/// What a step trains: one adapter, or several at once over one base, each on rows of its own (kernels/lora_mixture.h).
struct StepLane {
  const LoraAdapter* adapter = nullptr;
  ParameterSet* parameters = nullptr;  ///< of the adapter, and of the inputs where they train
};

/// A lane's part of a step. `rows` is the whole step's batch of the lane, the same on every rank; the step sets their scale.
struct LaneRows {
  std::size_t lane = 0;
  std::vector<StepRow> rows;
  double learning_rate = 0;
  double loss_limit = std::numeric_limits<double>::infinity();  ///< a step whose loss is above it updates nothing
};

struct StepConfig {
  LossWeights weights;
  CeSpan span = CeSpan::kAnswer;
  std::int32_t yes_token = 0;
  std::int64_t first_layer = 0;  ///< lowest trainable layer; those below run frozen, without dropout or gradient
  bool train_inputs = false;     ///< the projector, learnt tokens
  double dropout = 0.05;
  double clip = 1.0;                 ///< largest gradient norm; 0: no clipping
  std::uint64_t seed = 0;            ///< of the dropout
  std::int64_t micro_tokens = 2048;  ///< a forward and backward pass holds about so many tokens
  bool recompute = false;            ///< a layer's activations again in the backward pass, in place of keeping them
  bool share = false;   ///< rows of one user hold what they begin with in common once; on the CPU, and not when strict
  bool strict = false;  ///< gradients row by row, summed in row order: the same bits for any number of ranks
  std::int64_t cache_bytes = std::int64_t{1} << 30;  ///< for hidden states below first_layer; recomputed when over it
};

struct StepResult {
  double loss = 0, bce = 0, ce = 0;  ///< means over the lane's rows; bce and ce unweighted
  std::vector<double> row_losses;    ///< weighted, in row order, on every rank
  double gradient_norm = 0;
  bool finite = true;         ///< false: nothing was updated
  bool leapt = false;         ///< the loss is above the limit: nothing was updated
  bool stop = false;          ///< some rank was asked to stop
  std::int64_t tokens = 0;    ///< of the lane's rows, all ranks
  std::int64_t computed = 0;  ///< tokens that were computed for them: fewer where rows share their beginnings
};

class StepEngine {
 public:
  /// What the lanes point to must outlive the engine. Several lanes: adapters that agree below first_layer, and no inputs to train.
  /// `features` may be null when no row has slots.
  StepEngine(const Llama& model, std::vector<StepLane> lanes, const Projector& projector, const FeatureBank* features,
             StepConfig config, Collectives& ranks);

  /// One optimizer step of these lanes, at least one; `step` is 1-based. `stop` is this rank's wish to stop, `fault` what it gets wrong in
  /// the first part. A result for each part: what it would be had its lane stepped alone, up to the order of sums.
  std::vector<StepResult> run(std::int64_t step, std::span<const LaneRows> parts, bool stop = false, StepFault fault = {});

 private:
  struct RowValue {
    std::int64_t place;
    double bce, ce;
  };
  /// A row of the step, whichever its lane.
  struct PlacedRow {
    StepRow row;
    std::size_t part;  ///< into the parts of the step
  };
  /// Who computes what, and which rows together; sets their group and draw.
  std::vector<std::vector<Unit>> share(std::span<PlacedRow> rows) const;
  void accumulate(std::int64_t step, std::span<const LaneRows> parts, std::span<const PlacedRow> rows,
                  std::span<const std::int64_t> places, StepFault fault, std::vector<RowValue>& values);
  at::Tensor lower_hidden(std::span<const StepRow> rows, const RowPack& pack);
  at::Tensor cached_hidden(const StepRow& row);
  void sum_in_row_order(std::vector<at::Tensor>& own, std::span<const std::int64_t> places, std::span<const PlacedRow> rows,
                        std::span<const LaneRows> parts);

  const Llama& model_;
  std::vector<StepLane> lanes_;
  const Projector& projector_;
  const FeatureBank* features_;
  StepConfig config_;
  Collectives& ranks_;
  std::unordered_map<std::uint64_t, at::Tensor> cache_;
  std::int64_t cached_bytes_ = 0;
};

/// Splits rows (by their token counts, in order) into runs of at most about `limit` tokens; a longer row is a run of its own.
std::vector<std::pair<std::size_t, std::size_t>> micro_batches(std::span<const std::int64_t> tokens, std::int64_t limit);

}  // namespace thinkrec
