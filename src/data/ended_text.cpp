#include "data/ended_text.h"

#include "core/error.h"
#include "text/seam.h"

namespace thinkrec {

EndedText::EndedText(const Tokenizer& tokenizer, const std::string& text, std::span<const std::string> endings, bool front) {
  const std::size_t cut = last_seam(text);
  const auto add = [&](const std::string& piece, bool at_front) {
    const auto ids = at_front ? tokenizer.encode(piece) : tokenizer.encode_behind(piece);
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    begin_.push_back(static_cast<std::uint32_t>(tokens_.size()));
  };
  begin_.push_back(0);
  if (cut == 0) {
    begin_.push_back(0);
  } else {
    add(text.substr(0, cut), front);
  }
  const std::string rest = text.substr(cut);
  add(rest, front && cut == 0);
  for (const std::string& ending : endings) add(rest + ending, front && cut == 0);
  tokens_.shrink_to_fit();
}

std::span<const std::int32_t> EndedText::part(std::size_t i) const {
  THINKREC_CHECK(i + 1 < begin_.size(), "part {} of {}", i, begin_.size());
  return std::span(tokens_).subspan(begin_[i], begin_[i + 1] - begin_[i]);
}

}  // namespace thinkrec
