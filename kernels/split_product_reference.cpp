#include "core/error.h"
#include "kernels/split_product.h"

namespace thinkrec::kernels {

void split_product_reference(const SplitProduct& product) {
  const auto& [x, w, result, result_stride, rows, inner, outs, parts, add] = product;
  THINKREC_CHECK(rows >= 0 && inner >= 1 && outs >= 1 && (parts == 2 || parts == 3), "{} x {} x {}, {} parts", rows, inner, outs, parts);
  const auto at = [](const SplitFactor& factor, std::int64_t row, std::int64_t column) {
    return static_cast<double>(factor.transposed ? factor.values[column * factor.stride + row] : factor.values[row * factor.stride + column]);
  };
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t out = 0; out < outs; ++out) {
      float& to = result[row * result_stride + out];
      double sum = add ? to : 0;
      for (std::int64_t k = 0; k < inner; ++k) sum += at(x, row, k) * at(w, k, out);
      to = static_cast<float>(sum);
    }
  }
}

}  // namespace thinkrec::kernels
