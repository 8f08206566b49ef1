#include "experts/gate.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace thinkrec {
namespace {

template <class A, class B>
double dot(const A& a, const B& b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}

/// Norms are taken before the product, so that long vectors do not overflow.
double cosine(const std::vector<double>& a, std::span<const float> b) {
  const double norm_a = std::sqrt(dot(a, a)), norm_b = std::sqrt(dot(b, b));
  return norm_a > 0 && norm_b > 0 ? dot(a, b) / norm_a / norm_b : 0.0;
}

}  // namespace

Gate gate_user(std::span<const float> user_vector, const Grouping& grouping, const GateConfig& config) {
  if (!(config.temperature > 0)) fail(ExitCode::kConfig, "gate.temperature is {}: it must be above 0", config.temperature);
  for (const float value : user_vector) {
    if (!std::isfinite(value))
      fail(ExitCode::kDiverged, "gate: a user's vector is not finite; the encoder that made it has diverged");
  }
  const std::size_t d = grouping.center.size();
  const auto groups = static_cast<std::size_t>(std::max(grouping.groups, 0));
  THINKREC_CHECK(groups > 0 && grouping.means.size() == groups * d, "{} groups of width {}, {} values", groups, d,
                 grouping.means.size());
  const std::vector<double> user = scaled_vector(user_vector, grouping.center, grouping.scale);
  std::vector<double> weights(groups);
  for (std::size_t n = 0; n < groups; ++n)
    weights[n] = cosine(user, std::span(grouping.means).subspan(n * d, d)) / config.temperature;
  const double most = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - most);
  for (double& weight : weights) weight /= sum;
  return gate_from_weights(std::move(weights), config);
}

Gate gate_from_weights(std::vector<double> weights, const GateConfig& config) {
  THINKREC_CHECK(!weights.empty(), "a gate over no experts");
  double sum = 0;
  Gate gate;
  for (const double weight : weights) {
    THINKREC_CHECK(weight >= 0, "weight {}", weight);
    sum += weight;
    if (weight > 0) gate.entropy -= weight * std::log(weight);
  }
  THINKREC_CHECK(std::abs(sum - 1) <= 1e-6, "the weights sum to {}", sum);
  gate.entropy = std::max(gate.entropy, 0.0);  // N = 1: no entropy, not even a rounded one
  gate.weights = std::move(weights);
  const auto count = static_cast<double>(gate.weights.size());
  const auto most = std::max_element(gate.weights.begin(), gate.weights.end());
  if (gate.entropy > config.entropy_share * std::log(count)) {
    gate.decision = GateDecision::kGlobal;
  } else if (gate.weights.size() == 1 || *most > config.single_base + config.single_per_group / count) {
    gate.decision = GateDecision::kSingle;
    gate.expert = static_cast<int>(most - gate.weights.begin());
  } else {
    gate.decision = GateDecision::kMerged;
  }
  return gate;
}

}  // namespace thinkrec
