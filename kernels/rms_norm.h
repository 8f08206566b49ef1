#pragma once
// RMSNorm (Zhang and Sennrich 2019) with the residual addition before it, per row of `width`:
//   sum = x + residual,  inverse_rms = 1 / sqrt(mean(sum^2) + eps),  out = sum * inverse_rms * weight
// fp32, the mean in lane-wise fp32 (fp64 in the reference). Results do not depend on `threads`. The weight is frozen: no
// gradient. References take float or double (Real), for gradient checks.

#include <type_traits>

#include "kernels/views.h"

namespace thinkrec::kernels {

/// residual [rows, width] may be null, and then sum is null too and stands for x; otherwise sum[rows, width] is written and may
/// alias x or residual. out[rows, width] may alias x when residual is null. inverse_rms[rows].
/// Errors: negative rows, width < 1, exactly one of residual and sum null.
void rms_norm_forward(const float* x, const float* residual, const float* weight, float eps, std::int64_t rows,
                      std::int64_t width, float* sum, float* out, float* inverse_rms, int threads);
template <class Real>
void rms_norm_forward_reference(const Real* x, const std::type_identity_t<Real>* residual,
                                const std::type_identity_t<Real>* weight, float eps, std::int64_t rows, std::int64_t width,
                                std::type_identity_t<Real>* sum, Real* out, std::type_identity_t<Real>* inverse_rms);

/// With h = grad_out * weight and s = sum:
///   grad_x = inverse_rms * (h - s * inverse_rms^2 * mean(h * s)) + grad_sum
/// grad_sum[rows, width] (nullable) is the gradient that arrives at `sum` through the residual path; grad_x[rows, width] is
/// written and is the gradient of x and of residual alike; it may alias grad_out or grad_sum.
void rms_norm_backward(const float* grad_out, const float* sum, const float* weight, const float* inverse_rms, std::int64_t rows,
                       std::int64_t width, const float* grad_sum, float* grad_x, int threads);
template <class Real>
void rms_norm_backward_reference(const Real* grad_out, const std::type_identity_t<Real>* sum,
                                 const std::type_identity_t<Real>* weight, const std::type_identity_t<Real>* inverse_rms,
                                 std::int64_t rows, std::int64_t width, const std::type_identity_t<Real>* grad_sum, Real* grad_x);

}  // namespace thinkrec::kernels
