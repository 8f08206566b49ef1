#pragma once
// The inner loops that the forward and the backward pass of lora_qv share. For the .cpp files of this folder only.
// "Padded" matrices have rows of a whole number of vectors, zero beyond the real columns.

#include <vector>

#include "kernels/dropout.h"
#include "kernels/lora_qv.h"
#include "kernels/simd.h"

namespace thinkrec::kernels::lora {

using simd::kLanes;
using simd::Vec;

inline constexpr std::int64_t kTokens = 4;  // tokens handled side by side, so that weights are loaded once for all of them
inline constexpr std::int64_t kRanks = 4;

inline std::int64_t padded(std::int64_t width) { return (width + kLanes - 1) / kLanes * kLanes; }

/// a[rows, width] with padded rows.
std::vector<float> pad_rows(const float* a, std::int64_t rows, std::int64_t width);
/// b[out, rank] as padded [rank, out].
std::vector<float> transpose_padded(const float* b, std::int64_t out, std::int64_t rank);
void check(const LoraBatch& batch, const LoraWeights& q, const LoraWeights& v, int threads);

template <std::int64_t T, std::int64_t J>
THINKREC_INLINE void dots_tile(const float* const (&x)[kTokens], const float* a, std::int64_t stride, std::int64_t width,
                               float scale, float* low, std::int64_t low_stride) {
  Vec sums[T][J] = {};
  simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
    Vec row[J];
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < J; ++j) row[j] = simd::load(a + j * stride + i);
#pragma GCC unroll 4
    for (std::int64_t t = 0; t < T; ++t) {
      const Vec value = simd::load_lanes<whole>(x[t] + i, count);
#pragma GCC unroll 4
      for (std::int64_t j = 0; j < J; ++j) sums[t][j] += value * row[j];
    }
  });
#pragma GCC unroll 4
  for (std::int64_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (std::int64_t j = 0; j < J; ++j) low[t * low_stride + j] = scale * simd::sum(sums[t][j]);
  }
}

/// low[t, j] = scale * x[t] . a[j] for `rank` padded rows of a. x need not be padded.
template <std::int64_t T>
THINKREC_INLINE void dots(const float* const (&x)[kTokens], const float* a, std::int64_t rank, std::int64_t width, float scale,
                          float* low, std::int64_t low_stride) {
  const std::int64_t stride = padded(width);
  std::int64_t j = 0;
  for (; j + kRanks <= rank; j += kRanks) dots_tile<T, kRanks>(x, a + j * stride, stride, width, scale, low + j, low_stride);
  for (; j < rank; ++j) dots_tile<T, 1>(x, a + j * stride, stride, width, scale, low + j, low_stride);
}

/// sums[t] = sum over j of low[t, j] * a[j, i to i + kLanes - 1].
template <std::int64_t T>
THINKREC_INLINE void combine(const float* low, std::int64_t low_stride, const float* a, std::int64_t stride, std::int64_t rank,
                             std::int64_t i, Vec (&sums)[T]) {
#pragma GCC unroll 4
  for (std::int64_t t = 0; t < T; ++t) sums[t] = Vec{};
  for (std::int64_t j = 0; j < rank; ++j) {
    const Vec row = simd::load(a + j * stride + i);
#pragma GCC unroll 4
    for (std::int64_t t = 0; t < T; ++t) sums[t] += low[t * low_stride + j] * row;
  }
}

/// The dropped-out rows of up to kTokens tokens for one projection: factor[t] and dropped[t] = factor[t] * x[t], each of
/// padded(width) floats. Nothing is touched, and x itself returned in `rows`, when dropout is off.
inline void drop(const LoraBatch& batch, std::uint32_t projection, std::int64_t token, std::int64_t count, float* factor,
                 float* dropped, const float* (&rows)[kTokens]) {
  const std::int64_t width = batch.width, stride = padded(width);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const std::int64_t at = token + std::min(t, count - 1);
    const float* x = batch.x + at * width;
    rows[t] = x;
    if (batch.dropout.probability == 0 || t >= count) continue;
    float* f = factor + t * stride;
    float* to = dropped + t * stride;
    dropout_factors(batch.dropout, dropout_stream(batch.dropout, batch.sample[at]), projection, batch.position[at], width, f);
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) to[i] = x[i] * f[i];
    rows[t] = to;
  }
}

}  // namespace thinkrec::kernels::lora
