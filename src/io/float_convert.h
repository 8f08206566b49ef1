#pragma once
// 16-bit floats to fp32, exactly; without branches, so that loops over them vectorise.

#include <bit>
#include <cstdint>

namespace thinkrec {

inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7fffu) << 13;
  // A subnormal half is m * 2^-24: with the exponent of 2^-14 put in front, subtracting 2^-14 leaves just that.
  const float subnormal = std::bit_cast<float>(magnitude + (113u << 23)) - std::bit_cast<float>(113u << 23);
  const std::uint32_t normal = magnitude + (112u << 23);                                    // the bias goes from 15 to 127
  const std::uint32_t wide = magnitude >= (31u << 23) ? magnitude + (224u << 23) : normal;  // Inf and NaN keep all ones
  return std::bit_cast<float>(sign | (magnitude < (1u << 23) ? std::bit_cast<std::uint32_t>(subnormal) : wide));
}

inline float bfloat16_to_float(std::uint16_t value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16); }

}  // namespace thinkrec
