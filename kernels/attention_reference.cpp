#include <cmath>
#include <vector>

#include "kernels/attention.h"

namespace thinkrec::kernels {
namespace {

/// body(query, head, tokens that it sees).
template <class Body>
void each_query(const Attention& a, const Body& body) {
  for (std::int64_t query = 0; query < a.queries; ++query) {
    const std::int64_t token = a.query.empty() ? query : a.query[static_cast<std::size_t>(query)];
    std::size_t row = 0;
    while (a.begin[row + 1] <= token) ++row;
    std::vector<std::int64_t> seen;
    for (std::size_t before = 0; before <= row; ++before) {
      if (before < row && a.reach[before] <= a.begin[row]) continue;
      for (std::int64_t key = a.begin[before]; key < a.begin[before + 1] && key <= token; ++key) seen.push_back(key);
    }
    for (std::int64_t head = 0; head < a.heads; ++head) body(query, head, seen);
  }
}

double dot(const float* a, const float* b, std::int64_t width) {
  double sum = 0;
  for (std::int64_t i = 0; i < width; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

struct Weights {
  std::vector<double> p;
  double log_sum_exp;
};
Weights softmax(const Attention& a, std::int64_t query, std::int64_t head, const std::vector<std::int64_t>& seen) {
  std::vector<double> scores;
  double top = -INFINITY, sum = 0;
  for (const std::int64_t token : seen) {
    const std::int64_t kv = token * a.kv_heads + head / (a.heads / a.kv_heads);
    scores.push_back(dot(a.q + (query * a.heads + head) * a.width, a.k + kv * a.width, a.width) /
                     std::sqrt(static_cast<double>(a.width)));
    top = std::fmax(top, scores.back());
  }
  for (double& score : scores) sum += score = std::exp(score - top);
  for (double& score : scores) score /= sum;
  return {scores, top + std::log(sum)};
}

}  // namespace

void attention_reference(const Attention& a, float* out, float* log_sum_exp) {
  each_query(a, [&](std::int64_t query, std::int64_t head, const std::vector<std::int64_t>& seen) {
    const Weights weights = softmax(a, query, head, seen);
    log_sum_exp[head * a.queries + query] = static_cast<float>(weights.log_sum_exp);
    for (std::int64_t i = 0; i < a.width; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < seen.size(); ++j)
        sum += weights.p[j] * a.v[(seen[j] * a.kv_heads + head / (a.heads / a.kv_heads)) * a.width + i];
      out[(query * a.heads + head) * a.width + i] = static_cast<float>(sum);
    }
  });
}

void attention_backward_reference(const Attention& a, const float* grad_out, const AttentionGradients& grad) {
  const auto kv_size = static_cast<std::size_t>(a.begin.back() * a.kv_heads * a.width);
  std::vector<double> grad_k(kv_size), grad_v(kv_size);
  const double scale = 1 / std::sqrt(static_cast<double>(a.width));
  each_query(a, [&](std::int64_t query, std::int64_t head, const std::vector<std::int64_t>& seen) {
    const Weights weights = softmax(a, query, head, seen);
    const std::int64_t at = (query * a.heads + head) * a.width;
    std::vector<double> dp, grad_q(static_cast<std::size_t>(a.width));
    double delta = 0;
    const auto kv_of = [&](std::size_t j) { return (seen[j] * a.kv_heads + head / (a.heads / a.kv_heads)) * a.width; };
    for (std::size_t j = 0; j < seen.size(); ++j) {
      dp.push_back(dot(grad_out + at, a.v + kv_of(j), a.width));
      delta += weights.p[j] * dp[j];
    }
    for (std::size_t j = 0; j < seen.size(); ++j) {
      const double ds = weights.p[j] * (dp[j] - delta) * scale;
      for (std::int64_t i = 0; i < a.width; ++i) {
        const auto to = static_cast<std::size_t>(kv_of(j) + i);
        grad_q[static_cast<std::size_t>(i)] += ds * a.k[to];
        grad_k[to] += ds * a.q[at + i];
        grad_v[to] += weights.p[j] * grad_out[at + i];
      }
    }
    for (std::int64_t i = 0; i < a.width; ++i) grad.q[at + i] = static_cast<float>(grad_q[static_cast<std::size_t>(i)]);
  });
  for (std::size_t i = 0; i < kv_size; ++i) {
    grad.k[i] = static_cast<float>(grad_k[i]);
    grad.v[i] = static_cast<float>(grad_v[i]);
  }
}

}  // namespace thinkrec::kernels
