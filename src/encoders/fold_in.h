#pragma once
// A user's vector from their history, given the item vectors: the way users without train rows, and every user at a moment of
// their history, get a principled vector. One Newton step of logistic regression from a Gaussian prior:
//   u = g + (ridge I + sum_j w_j x_j x_j^T)^-1 sum_j (y_j - p_j) x_j,   p_j = sigmoid(g . x_j),   w_j = p_j (1 - p_j),
// over the history items x_j with labels y_j; g is the vector of a user of whom nothing is known.

#include <ATen/core/Tensor.h>

#include <span>

#include "data/dataset.h"
#include "encoders/moment.h"

namespace thinkrec {

class FoldIn {
 public:
  /// items: [items, width] fp32; prior: [width] fp32; ridge > 0.
  FoldIn(at::Tensor items, at::Tensor prior, double ridge);
  /// [moments, width] fp32. Sums in double and in the order of the history: the same bits in whatever company a moment is asked.
  at::Tensor vectors(const Dataset& dataset, std::span<const Moment> moments) const;

 private:
  at::Tensor items_, prior_;  ///< contiguous
  double ridge_;
};

}  // namespace thinkrec
