#pragma once
// Collaborative vectors for the slots of prompts, scaled to unit root mean square so that the projector starts well conditioned.

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "adapters/projector.h"
#include "data/prompt.h"
#include "encoders/encoder.h"

namespace thinkrec {

class FeatureBank {
 public:
  FeatureBank(const Encoder& encoder, const Dataset& dataset);
  std::int64_t width() const { return width_; }
  /// Raw (scaled) vectors of the slots, [slots, d1].
  at::Tensor gather(std::span<const FeatureRef> slots) const;
  /// projector(gather(slots)), [slots, d2], where the projector is; undefined without slots. Each item of the pack is projected once.
  at::Tensor project(const Projector& projector, std::span<const FeatureRef> slots) const;

 private:
  const Encoder& encoder_;
  const Dataset& dataset_;
  std::int64_t width_;
  at::Tensor items_;
  double user_scale_ = 1;
};

}  // namespace thinkrec
