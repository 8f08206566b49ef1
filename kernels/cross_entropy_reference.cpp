#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "kernels/cross_entropy.h"

namespace thinkrec::kernels {

template <class Real>
void softmax_cross_entropy_reference(Real* logits, const std::int64_t* target, const std::type_identity_t<Real>* weight,
                                     std::int64_t rows, std::int64_t vocab, Real* loss, bool gradient) {
  THINKREC_CHECK(rows >= 0 && vocab >= 1, "rows {}, vocab {}", rows, vocab);
  for (std::int64_t row = 0; row < rows; ++row) {
    Real* z = logits + row * vocab;
    if (weight[row] == 0) {
      loss[row] = 0;
      if (gradient) std::fill_n(z, vocab, Real{0});
      continue;
    }
    THINKREC_CHECK(target[row] >= 0 && target[row] < vocab, "row {}: target {} of {}", row, target[row], vocab);
    const double maximum = *std::max_element(z, z + vocab);
    double sum = 0;
    for (std::int64_t i = 0; i < vocab; ++i) sum += std::exp(z[i] - maximum);
    loss[row] = static_cast<Real>(std::log(sum) + (maximum - z[target[row]]));
    if (!gradient) continue;
    for (std::int64_t i = 0; i < vocab; ++i) {
      z[i] = static_cast<Real>(weight[row] * (std::exp(z[i] - maximum) / sum - (i == target[row] ? 1.0 : 0.0)));
    }
  }
}

template void softmax_cross_entropy_reference(float*, const std::int64_t*, const float*, std::int64_t, std::int64_t, float*,
                                              bool);
template void softmax_cross_entropy_reference(double*, const std::int64_t*, const double*, std::int64_t, std::int64_t, double*,
                                              bool);

}  // namespace thinkrec::kernels
