#pragma once
// The training loop that all encoders share: fixed global batches, one gradient bucket, the best epoch on valid.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "comm/collectives.h"
#include "encoders/encoder.h"
#include "encoders/parameters.h"

namespace thinkrec {

/// What an encoder minimises: a sum over samples, each with one or more target interactions. Knows no ranks.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual Parameters& parameters() = 0;
  virtual std::int64_t samples() const = 0;
  virtual std::int64_t batch_samples() const = 0;  ///< per step, over all ranks
  virtual std::int64_t targets(std::int64_t sample) const = 0;
  /// The summed loss of these samples (not empty), differentiable. `step` only feeds random numbers, which depend on it and on
  /// each sample but not on which samples come together.
  virtual at::Tensor loss(std::span<const std::int64_t> samples, std::int64_t step) = 0;
  /// The logits of these rows from their histories, with the parameters as they are now.
  virtual std::vector<double> scores(std::span<const std::int64_t> rows) = 0;
};

/// Leaves the parameters of the best epoch in the objective.
void fit(Objective& objective, const EncoderConfig& config, const Dataset& dataset, Collectives& group,
         const ValidScore& valid_score, const EncoderReport& report);

}  // namespace thinkrec
