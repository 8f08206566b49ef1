#pragma once
// y = x W^T in fp32 for generation: W is read once for all tokens, and a token's result is the same bits whatever tokens stand beside it and
// for any number of threads, so that a row's text never depends on the batch. Sums run lane by lane over the columns (fp64 in the reference).

#include <span>

#include "kernels/views.h"

namespace thinkrec::kernels {

/// A product with x: weights[out, width], result[tokens, out].
struct LinearProduct {
  const float* weights;
  std::int64_t out;
  float* result;
};

/// All products with one x[tokens, width]. Errors: sizes out of range.
void linear(const float* x, std::int64_t tokens, std::int64_t width, std::span<const LinearProduct> products, int threads);
void linear_reference(const float* x, std::int64_t tokens, std::int64_t width, std::span<const LinearProduct> products);

}  // namespace thinkrec::kernels
