#include "text/byte_alphabet.h"

#include "text/unicode.h"

namespace thinkrec {

const std::array<char32_t, 256>& byte_alphabet() {
  static const std::array<char32_t, 256> letters = [] {
    std::array<char32_t, 256> made{};
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
      made[b] = printable ? b : next++;
    }
    return made;
  }();
  return letters;
}

std::optional<std::string> bytes_of_token(std::string_view token) {
  static constexpr std::int16_t kNone = -1;
  static const std::array<std::int16_t, 0x144> byte_of = [] {
    std::array<std::int16_t, 0x144> made;
    made.fill(kNone);
    for (std::size_t b = 0; b < 256; ++b) made[byte_alphabet()[b]] = static_cast<std::int16_t>(b);
    return made;
  }();
  std::string bytes;
  for (const char32_t c : decode_utf8(token)) {
    if (c >= byte_of.size() || byte_of[c] == kNone) return std::nullopt;
    bytes += static_cast<char>(byte_of[c]);
  }
  return bytes;
}

std::optional<std::uint8_t> first_missing_byte(const std::unordered_set<std::string>& tokens) {
  for (std::size_t b = 0; b < 0xf5; ++b) {
    if (b == 0xc0 || b == 0xc1) continue;
    if (!tokens.contains(encode_utf8({&byte_alphabet()[b], 1}))) return static_cast<std::uint8_t>(b);
  }
  return std::nullopt;
}

}  // namespace thinkrec
