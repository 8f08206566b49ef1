#include "text/unicode.h"

#include <fmt/format.h>

#include <cstdint>

namespace thinkrec {

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const std::uint8_t lead = byte(i);
    if (lead < 0x80) {
      out += lead;
      ++i;
      continue;
    }
    // Length, and the range of the second byte that rules out overlong forms, surrogates and what is beyond U+10FFFF.
    int length = 0;
    std::uint8_t low = 0x80, high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
      length = 2;
    else if (lead >= 0xe0 && lead <= 0xef)
      length = 3, low = lead == 0xe0 ? 0xa0 : 0x80, high = lead == 0xed ? 0x9f : 0xbf;
    else if (lead >= 0xf0 && lead <= 0xf4)
      length = 4, low = lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xf4 ? 0x8f : 0xbf;
    char32_t value = length == 2 ? lead & 0x1f : length == 3 ? lead & 0x0f : lead & 0x07;
    int read = 1;
    while (read < length && i + static_cast<std::size_t>(read) < text.size()) {
      const std::uint8_t next = byte(i + static_cast<std::size_t>(read));
      if (next < (read == 1 ? low : 0x80) || next > (read == 1 ? high : 0xbf)) break;
      value = (value << 6) | (next & 0x3f);
      ++read;
    }
    out += length != 0 && read == length ? value : U'\ufffd';
    i += static_cast<std::size_t>(read);
  }
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char32_t c : decode_utf8(text)) append_utf8(out, c < 0x20 || c == 0x7f ? U' ' : c);
  return out;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    if (c >= 0x20 && c <= 0x7e) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace thinkrec
