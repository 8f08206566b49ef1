#pragma once
// Text out of files of unknown origin, made fit for an error message.

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace thinkrec {

/// Control characters as \x0a, and not more than 100 bytes: a message stays one line, and a terminal obeys no file.
inline std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  std::string out;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return text.size() > kLongest ? out + "..." : out;
}

}  // namespace thinkrec
