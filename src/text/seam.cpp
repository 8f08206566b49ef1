#include "text/seam.h"

namespace thinkrec {
namespace {

bool is_graphic(char c) { return c > ' ' && c <= '~'; }

}  // namespace

bool is_seam(std::string_view text, std::size_t at) {
  return at > 0 && at + 1 < text.size() && text[at] == ' ' && is_graphic(text[at - 1]) && is_graphic(text[at + 1]);
}

std::size_t last_seam(std::string_view text) {
  for (std::size_t at = text.size(); at > 0; --at) {
    if (is_seam(text, at - 1)) return at - 1;
  }
  return 0;
}

std::size_t first_seam(std::string_view text) {
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (is_seam(text, at)) return at;
  }
  return text.size();
}

}  // namespace thinkrec
