#pragma once
// ggml's quantised blocks as floats, bit for bit as the `gguf` Python package does it.

#include <cstddef>
#include <cstdint>
#include <optional>

namespace thinkrec {

struct GgufBlock {
  std::int64_t elements;  ///< values of a block
  std::size_t bytes;
};

/// Nothing for a type that thinkrec does not read.
std::optional<GgufBlock> gguf_block(std::uint32_t type);

/// `blocks` blocks of a supported type to blocks * elements floats.
void gguf_dequantize(std::uint32_t type, const unsigned char* in, std::int64_t blocks, float* out);

/// IEEE half and bfloat16 to float, exact.
float half_to_float(std::uint16_t bits);
float bfloat16_to_float(std::uint16_t bits);

}  // namespace thinkrec
