#pragma once
// GPT-2's alphabet: a character for each byte, so that vocabularies are plain text. Private to src/text.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace thinkrec {

/// Printable bytes of Latin-1 stand for themselves, the other 68 for U+0100 to U+0143 in order.
const std::array<char32_t, 256>& byte_alphabet();

/// The bytes that a token in this alphabet stands for; nothing where a character is not of the alphabet.
std::optional<std::string> bytes_of_token(std::string_view token);

/// The lowest byte of UTF-8 texts (so not c0, c1, f5 to ff) whose letter is not among the tokens.
std::optional<std::uint8_t> first_missing_byte(const std::unordered_set<std::string>& tokens);

}  // namespace thinkrec
