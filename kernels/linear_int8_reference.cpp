#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/linear_int8.h"

namespace thinkrec::kernels {
namespace {

std::int64_t blocks_of(std::int64_t width) { return (width + kInt8Block - 1) / kInt8Block; }

/// Where the packed format holds row `out`, column `k`.
std::int64_t code_place(std::int64_t out, std::int64_t k, std::int64_t blocks) {
  const std::int64_t block = (out / kInt8Outs) * blocks + k / kInt8Block, inside = k % kInt8Block;
  return ((block * (kInt8Block / 4) + inside / 4) * kInt8Outs + out % kInt8Outs) * 4 + inside % 4;
}

}  // namespace

void unpack_int8(const Int8Weights& packed, float* weights) {
  const std::int64_t blocks = blocks_of(packed.width);
  for (std::int64_t o = 0; o < packed.out; ++o) {
    for (std::int64_t k = 0; k < packed.width; ++k) {
      const float scale = packed.scales[((o / kInt8Outs) * blocks + k / kInt8Block) * kInt8Outs + o % kInt8Outs];
      weights[o * packed.width + k] = scale * static_cast<float>(packed.codes[code_place(o, k, blocks)] - 128);
    }
  }
}

void linear_int8_reference(const float* x, std::int64_t tokens, std::int64_t width, std::span<const Int8Product> products) {
  THINKREC_CHECK(tokens >= 0 && width >= 1, "tokens {}, width {}", tokens, width);
  const std::int64_t blocks = blocks_of(width);
  for (const Int8Product& product : products) {
    const Int8Weights& w = product.weights;
    THINKREC_CHECK(w.width == width && w.out >= 1, "a matrix of {} x {} for x of width {}", w.out, w.width, width);
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t o = 0; o < w.out; ++o) {
        double sum = 0;
        for (std::int64_t b = 0; b < blocks; ++b) {
          const std::int64_t from = b * kInt8Block, to = std::min(width, from + kInt8Block);
          float largest = 0;
          for (std::int64_t k = from; k < to; ++k) largest = std::max(largest, std::abs(x[t * width + k]));
          const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
          std::int64_t integers = 0;
          for (std::int64_t k = from; k < to; ++k)
            integers += std::lround(x[t * width + k] * inverse) * (w.codes[code_place(o, k, blocks)] - 128);
          const float scale = w.scales[((o / kInt8Outs) * blocks + b) * kInt8Outs + o % kInt8Outs];
          sum += static_cast<double>(integers) * scale * (largest / 127.0f);
        }
        product.result[t * w.out + o] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace thinkrec::kernels
