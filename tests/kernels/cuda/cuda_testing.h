#pragma once
// What the tests of the .cu files share, in the emulator (THINKREC_SIMT) and on a GPU: activations of either type, and comparison with
// the references, which sum in fp64 and round to fp32.

#include "kernels/bfloat16.h"
#include "kernels/cuda/kernels.h"
#include "kernels/kernel_testing.h"

#ifdef THINKREC_SIMT
#include "simt/simt.h"
#else
namespace simt {
inline void set_seed(unsigned) {}  // a GPU has an order of its own
}  // namespace simt
#endif

namespace thinkrec::kernels::testing {

inline constexpr unsigned kSeeds[] = {1, 2, 3};  // of the order of lanes and blocks

template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) from_float(values[i], out[i]);
  return out;
}

template <class T>
std::vector<float> floats(const std::vector<T>& values) {
  std::vector<float> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = to_float(values[i]);
  return out;
}

/// Random values that T holds exactly.
template <class T>
std::vector<T> random_activations(std::int64_t size, unsigned seed, double scale = 1) {
  return rounded<T>(random_values(size, seed, scale));
}

/// As expect_close, and for Bfloat16 a rounding to 8 bits more; of several, those before the last round partial sums, which may be as large
/// as any of the values.
template <class T>
void expect_activations_close(const std::vector<T>& got, const std::vector<float>& wanted, double units, double floor,
                              int roundings = 1) {
  if (!std::is_same_v<T, Bfloat16>) return expect_close(floats(got), wanted, units, floor);
  ASSERT_EQ(got.size(), wanted.size());
  double largest = 0;
  for (const float value : wanted) largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double exact = wanted[i], found = to_float(got[i]);
    const double bound =
        0x1p-8 * std::abs(exact) + (roundings - 1) * 0x1p-9 * largest + units * 0x1p-23 * std::max(std::abs(exact), floor);
    ASSERT_LE(std::abs(found - exact), bound) << "element " << i << ": " << found << " for " << exact;
  }
}

/// The bits of any values.
template <class T>
std::vector<std::uint8_t> bits_of(const std::vector<T>& values) {
  std::vector<std::uint8_t> bits(values.size() * sizeof(T));
  if (!bits.empty()) std::memcpy(bits.data(), values.data(), bits.size());
  return bits;
}

}  // namespace thinkrec::kernels::testing
