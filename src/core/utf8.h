#pragma once
// Well-formed UTF-8 (The Unicode Standard, table 3-7): nothing overlong, no surrogates, nothing beyond U+10FFFF.

#include <cstddef>
#include <string_view>

namespace thinkrec {

/// Bytes of the well-formed sequence that begins at text[at]; 0 when there is none.
std::size_t utf8_length(std::string_view text, std::size_t at);

bool is_utf8(std::string_view text);

}  // namespace thinkrec
