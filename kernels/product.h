#pragma once
// A product of fp32 matrices with a frozen weight, which split_product.h (tiles) or fp32_product.h (vector units) makes on a CPU.

#include "kernels/views.h"

namespace thinkrec::kernels {

/// result[rows, outs] = x[rows, inner] times a matrix of [inner, outs] that lies as w[outs, inner] (`transposed`: a linear layer), or as
/// w[inner, outs] (the gradient that goes back through one).
struct Product {
  const float* x;
  const float* w;
  float* result;
  std::int64_t rows, inner, outs;
  bool transposed;
};

/// Sizes below 1 (rows: below 0) are errors.
void check_product(const Product& product);
/// The product in fp64, rounded once.
void product_reference(const Product& product);

}  // namespace thinkrec::kernels
