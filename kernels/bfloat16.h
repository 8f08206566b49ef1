#pragma once
// bfloat16 as storage: the upper half of a float's bits. Kernels compute in fp32 and round once, when they write.

#include <cstdint>
#include <cstring>

#include "kernels/views.h"

namespace thinkrec::kernels {

struct Bfloat16 {
  std::uint16_t bits;
};

THINKREC_HOST_DEVICE inline float to_float(float value) { return value; }
THINKREC_HOST_DEVICE inline float to_float(Bfloat16 value) {
  const std::uint32_t bits = std::uint32_t{value.bits} << 16;
  float out;
  memcpy(&out, &bits, sizeof out);
  return out;
}

/// Nearest, ties to even; a NaN stays a (quiet) NaN.
THINKREC_HOST_DEVICE inline void from_float(float value, float& out) { out = value; }
THINKREC_HOST_DEVICE inline void from_float(float value, Bfloat16& out) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  out.bits = static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace thinkrec::kernels
