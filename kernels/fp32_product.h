#pragma once
// Products of fp32 matrices on a CPU's vector units (AVX-512), as exact as BLAS makes them: a result is one chain of fused multiply-adds for
// each block of the inner dimension, and the sum of the blocks in order. A row's result is the same bits whatever rows stand beside it and for
// any number of threads. What lies in which cache: Goto, van de Geijn, Anatomy of High-Performance Matrix Multiplication, ACM TOMS 2008.

#include "kernels/product.h"

namespace thinkrec::kernels {

/// Whether this build has them.
bool have_fp32_products();

/// How many floats fp32_product needs to work in.
std::int64_t fp32_product_workspace(const Product& product, int threads);
/// `workspace` is aligned to 64 bytes and holds anything. Errors: as check_product, no threads, a build without AVX-512.
void fp32_product(const Product& product, float* workspace, int threads);

}  // namespace thinkrec::kernels
