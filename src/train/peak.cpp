#include "train/peak.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

#include "model/ops.h"

namespace thinkrec {

double product_peak(const at::TensorOptions& options) {
  using Clock = std::chrono::steady_clock;
  constexpr double kEnough = 0.03;  // seconds
  const at::NoGradGuard no_grad;
  const std::int64_t n = options.device().is_cpu() ? kPeakSide : 4096;
  const at::Tensor a = at::ones({n, n}, options), b = at::ones({n, n}, options);
  double best = 0, spent = 0;
  for (int turn = 0; turn < 3 || spent < kEnough; ++turn) {
    const auto start = Clock::now();
    const at::Tensor out = ops::linear(a, b);
    (void)out[0][0].item<float>();  // a GPU's product has ended
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    spent += seconds;
    if (turn > 0) best = std::max(best, 2.0 * static_cast<double>(n * n * n) / std::max(seconds, 1e-9));  // the first one warms up
  }
  return best;
}

double step_flops(const LlamaConfig& model, const PassKind& kind, CeSpan span, std::span<const LaneRows> parts) {
  PassKind once = kind;
  once.recompute = false;
  double sum = 0;
  for (const LaneRows& part : parts) {
    for (const StepRow& row : part.rows) {
      const auto fed = static_cast<std::int64_t>(row.row->token.size()) - 1;  // the last token predicts nothing
      const std::int64_t read = span == CeSpan::kAll ? fed : row.row->answer_length();
      sum += training_flops(model, {fed, read, static_cast<double>(fed) * static_cast<double>(fed)}, once);
    }
  }
  return sum;
}

}  // namespace thinkrec
