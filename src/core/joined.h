// The one way to write a list into a message.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace thinkrec {

/// The elements of `range`, each by `format`, with `separator` between them. fmt::join does the same, but brings all of fmt's engine into
/// every file that uses it.
template <typename Range>
std::string joined(const Range& range, std::string_view separator, std::string_view format = "{}") {
  std::string text;
  bool first = true;
  for (const auto& element : range) {
    if (!first) text += separator;
    first = false;
    text += fmt::format(fmt::runtime(format), element);
  }
  return text;
}

}  // namespace thinkrec
