#include "adapters/random.h"

#include <ATen/ATen.h>

#include <random>

namespace thinkrec {

at::Tensor uniform_tensor(at::IntArrayRef shape, double bound, std::uint64_t seed, std::uint64_t stream) {
  std::seed_seq sequence{seed & 0xffffffffU, seed >> 32, stream & 0xffffffffU, stream >> 32};
  std::mt19937_64 generator(sequence);  // its output is fixed by the standard, unlike that of the distributions
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const double unit = static_cast<double>(generator() >> 11) * 0x1.0p-53;
    values[i] = static_cast<float>((2 * unit - 1) * bound);
  }
  return tensor;
}

}  // namespace thinkrec
