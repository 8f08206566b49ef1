#pragma once
// Initial values that depend on a seed alone, not on libtorch's generators or on what was drawn before.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thinkrec {

/// fp32 tensor, uniform in [-bound, bound). Each (seed, stream) gives its own values.
at::Tensor uniform_tensor(at::IntArrayRef shape, double bound, std::uint64_t seed, std::uint64_t stream);

}  // namespace thinkrec
