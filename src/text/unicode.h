#pragma once
// Unicode classes as Hugging Face `tokenizers` sees them, and UTF-8.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace thinkrec {

struct CodePointRange {
  char32_t low, high;
};

template <std::size_t N>
bool in_ranges(const std::array<CodePointRange, N>& ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c, [](char32_t value, const CodePointRange& r) { return value < r.low; });
  return after != ranges.begin() && c <= std::prev(after)->high;
}

bool is_letter(char32_t c);  ///< \p{L}
bool is_number(char32_t c);  ///< \p{N}
bool is_space(char32_t c);   ///< \s

/// Code points of UTF-8 text; an invalid sequence becomes U+FFFD, one for each maximal invalid part (as Unicode recommends).
std::u32string decode_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t c);

}  // namespace thinkrec
