#pragma once
// What the emulator's messages call kinds of faults, operations, places and indexes.

#include <fmt/format.h>

#include <string>

#include "simt/simt.h"

namespace simt::detail {

const char* name_of(Kind kind);
const char* name_of(Operation operation);

template <class Index>
std::string show(const Index& index) {
  return fmt::format("({}, {}, {})", index.x, index.y, index.z);
}
inline std::string show(const Site& site) { return fmt::format("{}:{}", site.file_name(), site.line()); }
/// Of the thread in its block, or of the block in its grid, that has this linear index.
inline uint3 index_in(const dim3& shape, std::uint64_t linear) {
  return {static_cast<unsigned>(linear % shape.x), static_cast<unsigned>(linear / shape.x % shape.y),
          static_cast<unsigned>(linear / shape.x / shape.y)};
}

}  // namespace simt::detail
