#pragma once
// Membership in a sorted table of code point ranges. Private to src/text.

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

namespace thinkrec {

struct CodePointRange {
  char32_t low, high;  ///< both inclusive
};

/// Whether c lies in one of the ranges, which ascend and do not touch.
template <std::size_t N>
bool in_ranges(const std::array<CodePointRange, N>& ranges, char32_t c) {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), c, [](char32_t value, const CodePointRange& r) { return value < r.low; });
  return after != ranges.begin() && c <= std::prev(after)->high;
}

}  // namespace thinkrec
