#pragma once
// y = x W^T with W in 8 bits and x rounded to 8 bits on the way, for generation. A row of W is cut into blocks of kInt8Block columns, and so
// is a token of x; each block is held as integers of -127 .. 127 and one scale, largest magnitude / 127 (round half away from zero):
//   y[t, o] = sum over blocks b of  scale_x[t, b] * scale_w[o, b] * (sum of k in b of x[t, k] w[o, k])      integers inside, fp32 outside
// A token's result is the same bits whatever tokens stand beside it, for any number of threads and on every path of one build.

#include <span>

#include "kernels/views.h"

namespace thinkrec::kernels {

inline constexpr std::int64_t kInt8Block = 64;
inline constexpr std::int64_t kInt8Outs = 16;  ///< rows of W that lie together

/// A packed matrix: groups of kInt8Outs rows, in each its blocks in order, in a block [kInt8Block / 4, kInt8Outs, 4] codes of which each is the
/// integer + 128. Columns and rows beyond the real ones are zero.
struct Int8Weights {
  const std::uint8_t* codes;  ///< [int8_codes(out, width)], aligned to 64 bytes
  const float* scales;        ///< [int8_scales(out, width)]: [groups, blocks, kInt8Outs]
  std::int64_t out, width;
};
std::int64_t int8_codes(std::int64_t out, std::int64_t width);
std::int64_t int8_scales(std::int64_t out, std::int64_t width);

/// weights[out, width], finite, into codes and scales of these sizes.
void pack_int8(const float* weights, std::int64_t out, std::int64_t width, std::uint8_t* codes, float* scales, int threads);
/// The packed matrix as it is multiplied with, weights[out, width].
void unpack_int8(const Int8Weights& packed, float* weights);

/// A product with x: result[tokens, weights.out].
struct Int8Product {
  Int8Weights weights;
  float* result;
};

/// All products with one x[tokens, width]; every matrix has that width. Errors: sizes out of range, unequal widths.
void linear_int8(const float* x, std::int64_t tokens, std::int64_t width, std::span<const Int8Product> products, int threads);
void linear_int8_reference(const float* x, std::int64_t tokens, std::int64_t width, std::span<const Int8Product> products);

}  // namespace thinkrec::kernels
