#include <algorithm>
#include <cmath>

#include "kernels/attention_softmax.h"

namespace thinkrec::kernels {

void attention_softmax_reference(const AttentionRows& shape, float* scores, float* log_sum_exp) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    float* s = scores + row * shape.stride;
    const double top = *std::max_element(s, s + shape.seen[row]);
    double sum = 0;
    for (std::int64_t i = 0; i < shape.seen[row]; ++i) sum += std::exp(s[i] - top);
    const double total = top + std::log(sum);
    for (std::int64_t i = 0; i < shape.columns; ++i)
      s[i] = i < shape.seen[row] ? static_cast<float>(std::exp(s[i] - total)) : 0.0f;
    log_sum_exp[row] = static_cast<float>(total);
  }
}

void attention_delta_reference(std::int64_t rows, std::int64_t width, const float* out, const float* grad_out, float* delta) {
  for (std::int64_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (std::int64_t i = row * width; i < (row + 1) * width; ++i) sum += static_cast<double>(out[i]) * grad_out[i];
    delta[row] = static_cast<float>(sum);
  }
}

void attention_softmax_backward_reference(const AttentionRows& shape, const float* log_sum_exp, const float* delta, float* scores,
                                          float* grad) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    float *s = scores + row * shape.stride, *g = grad + row * shape.stride;
    for (std::int64_t i = 0; i < shape.columns; ++i) {
      const double p = i < shape.seen[row] ? std::exp(static_cast<double>(s[i]) - log_sum_exp[row]) : 0.0;
      s[i] = static_cast<float>(p);
      g[i] = i < shape.seen[row] ? static_cast<float>(p * (static_cast<double>(g[i]) - delta[row])) : 0.0f;
    }
  }
}

}  // namespace thinkrec::kernels
