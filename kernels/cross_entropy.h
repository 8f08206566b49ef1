#pragma once
// Softmax cross-entropy with its gradient in place, one online pass for maximum and sum (Milakov and Gimelshein 2018) and one for
// the gradient, per row of logits:
//   loss = log(sum_j exp(logit_j)) - logit_target,  gradient_j = weight * (exp(logit_j) / sum - [j == target])
// fp32, the sum over the vocabulary in blocks added in fp64. Results do not depend on `threads`. References take float or double
// (Real).

#include <type_traits>

#include "kernels/views.h"

namespace thinkrec::kernels {

/// logits[rows, vocab]: with `gradient`, overwritten by the gradient of weight * loss; without, left alone. target[rows] in
/// [0, vocab). weight[rows]: a weight of 0 marks a row to ignore: its target is not read, its loss and gradient are 0.
/// loss[rows] is not weighted. Errors: negative rows, vocab < 1, a target out of range on a row with weight.
void softmax_cross_entropy(float* logits, const std::int64_t* target, const float* weight, std::int64_t rows, std::int64_t vocab,
                           float* loss, bool gradient, int threads);
template <class Real>
void softmax_cross_entropy_reference(Real* logits, const std::int64_t* target, const std::type_identity_t<Real>* weight,
                                     std::int64_t rows, std::int64_t vocab, Real* loss, bool gradient);

}  // namespace thinkrec::kernels
