#pragma once
// Binary cross-entropy on the logit of the answer "Yes" alone, so that the head's other rows are never multiplied, per row:
//   logit = hidden . yes_weight,  loss = max(logit, 0) - logit * label + log(1 + exp(-|logit|))
//   grad_hidden = weight * (sigmoid(logit) - label) * yes_weight
// fp32; loss and gradient keep their relative precision at any logit. Results do not depend on `threads`.
// References take float or double (Real), for gradient checks.

#include <type_traits>

#include "kernels/views.h"

namespace thinkrec::kernels {

/// hidden[rows, width] is the state at each row's answer position; yes_weight[width] the head's row of the Yes token; label[rows]
/// is 0 or 1. weight[rows]: a weight of 0 marks a row without an answer: its label is not read, its loss and gradient are 0, its
/// logit is still written. loss[rows] is not weighted. grad_hidden[rows, width] is written; may be null.
/// Errors: negative rows, width < 1.
void yes_bce(const float* hidden, const float* yes_weight, const float* label, const float* weight, std::int64_t rows,
             std::int64_t width, float* logit, float* loss, float* grad_hidden, int threads);
template <class Real>
void yes_bce_reference(const Real* hidden, const std::type_identity_t<Real>* yes_weight, const std::type_identity_t<Real>* label,
                       const std::type_identity_t<Real>* weight, std::int64_t rows, std::int64_t width, Real* logit, Real* loss,
                       std::type_identity_t<Real>* grad_hidden);

}  // namespace thinkrec::kernels
