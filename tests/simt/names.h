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
/// The thread of that linear index in the block that runs.
inline std::string show_thread(int linear) {
  const auto i = static_cast<unsigned>(linear);
  return show(uint3{i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y});
}

}  // namespace simt::detail
