#pragma once
// Logistic regression on few features, fitted by Newton's method. Internal to eval.

#include <cstdint>
#include <span>
#include <vector>

namespace thinkrec {

struct LogisticModel {
  double intercept = 0;
  std::vector<double> weight;

  /// Log odds of the label for one row of features.
  double logit(std::span<const double> features) const;
};

/// Minimises mean log loss + ridge / 2 * (intercept^2 + |weight|^2) over features [rows, width], labels 0 or 1. With ridge > 0
/// the minimum exists and is unique even for one class or separable rows. Converged to a gradient of 1e-10; kDiverged when 100
/// steps do not reach that, kInternal for shapes that do not fit, no rows or ridge <= 0.
LogisticModel fit_logistic(std::span<const double> features, std::span<const std::uint8_t> labels, std::int64_t width,
                           double ridge);

}  // namespace thinkrec
