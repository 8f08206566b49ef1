#pragma once
// Vectors for the slots of prompts: collaborative ones, scaled to unit root mean square so that the projector starts well conditioned,
// and beside them, when asked for, what the counts and the encoder's own score say.

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "adapters/projector.h"
#include "data/prompt.h"
#include "encoders/encoder.h"
#include "eval/statistics.h"

namespace thinkrec {

/// The encoder's logits for the train rows, each by an encoder that was trained without that row (5-fold or the like): what its score
/// for a new row is worth, which its score for a row it has learnt is not. One a train row, in the order of the split.
using HeldOutScores = std::vector<float>;

class FeatureBank {
 public:
  /// `held_out`: with statistics; the slots then carry kStatistics further values (see gather). Encoder and data set must outlive it.
  FeatureBank(const Encoder& encoder, const Dataset& dataset, const HeldOutScores* held_out = nullptr);
  std::int64_t width() const { return width_ + (statistics_ ? kStatistics : 0); }
  /// Raw (scaled) vectors of the slots, [slots, width()]; learnt tokens have none (kInternal). After the collaborative vector, z-scored on
  /// the train rows: the four RowStatistics (an item in the history has its two, the user has theirs, the item in question all) and, for
  /// the item in question, the encoder's logit.
  at::Tensor gather(std::span<const FeatureRef> slots) const;
  /// [slots, d2], where the projector is: projector(gather(slots)), learnt tokens from projector.soft(). Undefined without slots. Each
  /// different slot is projected once.
  at::Tensor project(const Projector& projector, std::span<const FeatureRef> slots) const;

 private:
  static constexpr std::int64_t kStatistics = static_cast<std::int64_t>(RowStatistics::kCount) + 1;

  void add_statistics(const FeatureRef& slot, float logit, float* to) const;

  const Encoder& encoder_;
  const Dataset& dataset_;
  std::int64_t width_;
  at::Tensor items_, raw_items_;
  double user_scale_ = 1;
  std::optional<RowStatistics> statistics_;
  std::unordered_map<std::int64_t, float> held_out_;  // by interaction index
  double logit_mean_ = 0, logit_deviation_ = 1;
};

}  // namespace thinkrec
