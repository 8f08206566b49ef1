#include "core/error.h"
#include "kernels/split_product.h"

namespace thinkrec::kernels {

void split_product_reference(const SplitProduct& product) {
  const auto& [x, w, result, rows, inner, outs, transposed, parts] = product;
  THINKREC_CHECK(rows >= 0 && inner >= 1 && outs >= 1 && (parts == 2 || parts == 3), "{} x {} x {}, {} parts", rows, inner, outs, parts);
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
