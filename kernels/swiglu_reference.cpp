#include <cmath>

#include "core/error.h"
#include "kernels/swiglu.h"

namespace thinkrec::kernels {

template <class Real>
void swiglu_forward_reference(const Real* gate, const Real* up, std::int64_t n, Real* out) {
  THINKREC_CHECK(n >= 0, "n {}", n);
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    out[i] = static_cast<Real>(g / (1 + std::exp(-g)) * up[i]);
  }
}

template <class Real>
void swiglu_backward_reference(const Real* grad_out, const Real* gate, const Real* up, std::int64_t n, Real* grad_gate,
                               Real* grad_up) {
  THINKREC_CHECK(n >= 0, "n {}", n);
  for (std::int64_t i = 0; i < n; ++i) {
    const double d = grad_out[i], g = gate[i], u = up[i];
    const double s = 1 / (1 + std::exp(-g));
    grad_gate[i] = static_cast<Real>(d * u * s * (1 + g * (1 - s)));
    grad_up[i] = static_cast<Real>(d * g * s);
  }
}

template void swiglu_forward_reference(const float*, const float*, std::int64_t, float*);
template void swiglu_forward_reference(const double*, const double*, std::int64_t, double*);
template void swiglu_backward_reference(const float*, const float*, const float*, std::int64_t, float*, float*);
template void swiglu_backward_reference(const double*, const double*, const double*, std::int64_t, double*, double*);

}  // namespace thinkrec::kernels
