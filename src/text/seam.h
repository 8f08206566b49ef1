#pragma once
// Where a text may be cut for encoding in parts: at a space between two printable ASCII characters other than spaces. Word-wise
// tokenizers begin a word there whatever the rest of the text is, and normalisation has nothing to join or to strip.

#include <string_view>

namespace thinkrec {

/// Whether text[at] is the space of a seam.
bool is_seam(std::string_view text, std::size_t at);

/// The last seam of the text, or 0 where there is none.
std::size_t last_seam(std::string_view text);

/// The first seam behind the text's first character, or the text's size where there is none.
std::size_t first_seam(std::string_view text);

}  // namespace thinkrec
