#pragma once
// Who serves a user: the global adapter, one expert, or a sum of experts (paper, Eq. 8 to 10).

#include <span>
#include <vector>

#include "experts/grouping.h"

namespace thinkrec {

enum class GateDecision {
  kGlobal,  ///< the weights say too little
  kSingle,  ///< one expert, whose weight is high
  kMerged,  ///< the sum of weights[n] * B_n A_n
};

struct Gate {
  GateDecision decision = GateDecision::kGlobal;
  int expert = -1;              ///< kSingle: the expert; else -1
  std::vector<double> weights;  ///< [groups], sum 1
  double entropy = 0;           ///< of the weights, in nats
};

struct GateConfig {
  double temperature = 0.1;       ///< tau of Eq. 8
  double entropy_share = 0.95;    ///< entropy above this share of ln N: global
  double single_base = 0.5;       ///< highest weight above
  double single_per_group = 0.6;  ///< base + per_group / N: that expert
};

/// Weights = softmax(cosine(user, mean of group n) / temperature), both scaled as in the clustering; the cosine of a zero vector
/// is 0. Then gate_from_weights. Errors: kConfig for a temperature that is not above 0, kDiverged for a vector that is not
/// finite, kInternal for one whose width is not the grouping's.
Gate gate_user(std::span<const float> user_vector, const Grouping& grouping, const GateConfig& config);

/// Entropy > entropy_share * ln N: kGlobal. Else N = 1 or max > single_base + single_per_group / N: kSingle, the lower number
/// among equals. Else kMerged. Both comparisons are strict, so N = 1 is served by its expert. Error kInternal: no weights, a
/// negative or NaN one, or a sum that is not 1 within 1e-6.
Gate gate_from_weights(std::vector<double> weights, const GateConfig& config);

}  // namespace thinkrec
