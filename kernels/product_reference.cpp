#include "core/error.h"
#include "kernels/product.h"

namespace thinkrec::kernels {

void check_product(const Product& product) {
  THINKREC_CHECK(product.rows >= 0 && product.inner >= 1 && product.outs >= 1, "{} x {} x {}", product.rows, product.inner, product.outs);
}

void product_reference(const Product& product) {
  check_product(product);
  const auto& [x, w, result, rows, inner, outs, transposed] = product;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t out = 0; out < outs; ++out) {
      double sum = 0;
      for (std::int64_t k = 0; k < inner; ++k)
        sum += static_cast<double>(x[row * inner + k]) * static_cast<double>(transposed ? w[out * inner + k] : w[k * outs + out]);
      result[row * outs + out] = static_cast<float>(sum);
    }
  }
}

}  // namespace thinkrec::kernels
