#pragma once
// The ggml tensor types: block sizes, and dequantisation of those that thinkrec reads. Private to src/io.

#include <cstddef>
#include <cstdint>

namespace thinkrec {

struct GgmlType {
  std::uint32_t id;
  const char* name;
  std::uint32_t block_elements;
  std::uint32_t block_bytes;
  /// Writes blocks * block_elements floats; nullptr for a type that thinkrec does not read.
  void (*dequantize)(const std::uint8_t* blocks, std::size_t count, float* out);
};

/// The type with this id, nullptr for one not known here.
const GgmlType* find_ggml_type(std::uint32_t id);

}  // namespace thinkrec
