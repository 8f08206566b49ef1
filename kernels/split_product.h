#pragma once
// Products of fp32 matrices on a CPU's bf16 tiles (AMX), which multiply many times as fast as its fp32 units. Each factor is cut into a sum of
// bf16 values, its parts: the nearest bf16, the nearest to what is left, and so on. Products of parts are exact in fp32, and their sums are
// fp32. (Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations, ARITH 2019.)
//   3 parts hold fp32's 24 bits; of their nine products the six largest are summed: as exact as a product in fp32
//   2 parts hold 16 bits, three products: what PyTorch calls precision "high"
// A row's result is the same bits whatever rows stand beside it and for any number of threads. Values below 2^-126 count as zero, and infinity
// comes out as NaN.

#include "kernels/product.h"

namespace thinkrec::kernels {

/// Whether this build and this machine have the tiles.
bool have_split_products();

/// How many values split_product needs to work in. `parts`: 2 or 3.
std::int64_t split_product_workspace(const Product& product, int parts, int threads);
/// `workspace` is aligned to 64 bytes and holds anything. Errors: as check_product, parts that are neither 2 nor 3, no threads, no tiles.
void split_product(const Product& product, int parts, std::uint16_t* workspace, int threads);

}  // namespace thinkrec::kernels
