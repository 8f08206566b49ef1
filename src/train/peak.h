#pragma once
// What a rank could do at best, to hold a step's speed against.

#include <ATen/core/Tensor.h>

#include <span>

#include "train/forecast.h"
#include "train/step.h"

namespace thinkrec {

/// Rows and columns of those that product_peak multiplies on a CPU.
inline constexpr std::int64_t kPeakSide = 768;

/// FLOP/s of the fastest of a few large matrix products, on that device, in that type and with this thread's settings; some 30 ms.
double product_peak(const at::TensorOptions& options);

/// Multiplications and additions that the rows of a step need, on whichever ranks: forward and backward from kind.first_layer up, with the
/// losses. What is computed again, or shared between rows, does not count.
double step_flops(const LlamaConfig& model, const PassKind& kind, CeSpan span, std::span<const LaneRows> parts);

}  // namespace thinkrec
