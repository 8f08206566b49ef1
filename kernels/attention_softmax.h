#pragma once
// The part of attention that is no matrix product, on the CPU: the softmax over rows of scores, and its gradient. Between them
// libtorch's GEMMs make the scores and use the weights (src/model/attention_cpu.cpp); on GPUs flash attention does all of it.

#include <cstdint>

namespace thinkrec::kernels {

/// Rows of scores; row i sees its first seen[i] >= 1 columns.
struct AttentionRows {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;             ///< floats from a row to the next
  const std::int64_t* seen = nullptr;  ///< [rows], 1..columns
};

/// scores [rows, columns], in place: p = exp(s - log sum exp(s)) over the columns seen, 0 in the others. log_sum_exp [rows].
void attention_softmax(const AttentionRows& shape, float* scores, float* log_sum_exp);
void attention_softmax_reference(const AttentionRows& shape, float* scores, float* log_sum_exp);

/// delta [rows] = the sum of p dp over a row, which is that of out d(out) (Dao et al. 2022, appendix B); out and grad_out [rows, width].
void attention_delta(std::int64_t rows, std::int64_t width, const float* out, const float* grad_out, float* delta);
void attention_delta_reference(std::int64_t rows, std::int64_t width, const float* out, const float* grad_out, float* delta);

/// scores, in place: p again, from log_sum_exp [rows]; grad [rows, columns] of p, in place: ds = p (dp - delta), delta [rows]. 0 in
/// columns not seen.
void attention_softmax_backward(const AttentionRows& shape, const float* log_sum_exp, const float* delta, float* scores,
                                float* grad);
void attention_softmax_backward_reference(const AttentionRows& shape, const float* log_sum_exp, const float* delta, float* scores,
                                          float* grad);

}  // namespace thinkrec::kernels
