#include "core/error.h"
#include "kernels/linear.h"

namespace thinkrec::kernels {

void linear_reference(const float* x, std::int64_t tokens, std::int64_t width, std::span<const LinearProduct> products) {
  THINKREC_CHECK(tokens >= 0 && width >= 1, "tokens {}, width {}", tokens, width);
  for (const LinearProduct& product : products) {
    THINKREC_CHECK(product.out >= 1, "out {}", product.out);
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t o = 0; o < product.out; ++o) {
        double sum = 0;
        for (std::int64_t k = 0; k < width; ++k) sum += static_cast<double>(x[t * width + k]) * product.weights[o * width + k];
        product.result[t * product.out + o] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace thinkrec::kernels
