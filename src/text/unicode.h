#pragma once
// Unicode classes as Hugging Face `tokenizers` sees them (tables made by make_unicode_tables.py), and UTF-8.

#include <string>
#include <string_view>

namespace thinkrec {

bool is_letter(char32_t c);  ///< \p{L} of its regular expressions
bool is_number(char32_t c);  ///< \p{N} of its regular expressions
bool is_space(char32_t c);   ///< \s of its regular expressions
bool is_digit(char32_t c);   ///< what its splitter Digits takes off: N as well, but of a newer Unicode version

/// The lower-case form, one code point for one (U+0130 becomes i, and sigma is never final); made by make_lower_case.py.
char32_t lower_case(char32_t c);

/// Code points of UTF-8 text; an invalid sequence becomes U+FFFD, one for each maximal invalid part (as Unicode recommends).
std::u32string decode_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t c);
std::string encode_utf8(std::u32string_view text);

/// What a model said, as one line of valid UTF-8: an invalid sequence becomes U+FFFD, a control character a space.
std::string one_line(std::string_view text);

/// Text out of a file of unknown origin, in quotes and fit for an error message: printable ASCII as it is, other bytes as \xNN,
/// cut after 80 bytes.
std::string in_quotes(std::string_view text);

}  // namespace thinkrec
