#pragma once
// The gate of the Llama feed-forward (Shazeer 2020, "GLU variants improve transformer"), element by element over n elements:
//   out = silu(gate) * up,  silu(z) = z * sigmoid(z)
// fp32. An element's result depends on nothing but its inputs: neither on `threads` nor on its place in the array.
// References take float or double (Real), for gradient checks.

#include "kernels/views.h"

namespace thinkrec::kernels {

/// out[n] may alias gate or up. Error: negative n.
void swiglu_forward(const float* gate, const float* up, std::int64_t n, float* out, int threads);
template <class Real>
void swiglu_forward_reference(const Real* gate, const Real* up, std::int64_t n, Real* out);

/// grad_gate = grad_out * up * s * (1 + gate * (1 - s)) with s = sigmoid(gate);  grad_up = grad_out * silu(gate).
/// Both are written; either may alias an input.
void swiglu_backward(const float* grad_out, const float* gate, const float* up, std::int64_t n, float* grad_gate, float* grad_up,
                     int threads);
template <class Real>
void swiglu_backward_reference(const Real* grad_out, const Real* gate, const Real* up, std::int64_t n, Real* grad_gate,
                               Real* grad_up);

}  // namespace thinkrec::kernels
