#pragma once
// Which positions of a packed batch the two losses read, and with which weights (paper, Eq. 5-7).

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "train/pack.h"

namespace thinkrec {

/// Eq. 7: thinking rows alpha BCE + beta CE, recommendation rows eta BCE + gamma CE.
struct LossWeights {
  double alpha = 0.1, beta = 0.9, eta = 0.9, gamma = 0.1;
};

/// Cross-entropy over the answer's tokens, or over prompt and answer (Eq. 5 as it is written).
enum class CeSpan { kAnswer, kAll };

/// A row of a step with its place in it.
struct StepRow {
  const EncodedRow* row = nullptr;
  std::uint64_t draw = 0;   ///< global sample counter: keys the dropout
  double scale = 1;         ///< of its loss: 1 / rows of the step
  std::int64_t group = -1;  ///< rows of one group hold what they begin with in common once (RowToPack)
};

/// A packed batch ready for the model and the losses. Row r contributes scale * weight * its loss.
struct LossBatch {
  RowPack pack;
  at::Tensor needed;                   ///< [n] int64: tokens whose final hidden state a loss reads, row by row
  at::Tensor yes_index;                ///< [rows] int64 into needed: the position that predicts the first answer token
  at::Tensor label, bce_weight;        ///< [rows]
  at::Tensor target, ce_weight;        ///< [n] int64 and fp32
  std::vector<std::int64_t> ce_begin;  ///< [rows + 1] into needed
};

/// Every row must have an answer (kInternal otherwise).
LossBatch make_loss_batch(std::span<const StepRow> rows, const LossWeights& weights, CeSpan span);

}  // namespace thinkrec
