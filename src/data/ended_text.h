#pragma once
// A text of which prompts are made, tokenised once for whatever may follow it without a space. Private to src/data.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace thinkrec {

class EndedText {
 public:
  EndedText() = default;
  /// The text stands at the front of a run of text, or begins with the space of a seam. It is followed by a seam or by the end of
  /// the run, or directly by one of `endings`, which then is followed so.
  EndedText(const Tokenizer& tokenizer, const std::string& text, std::span<const std::string> endings, bool front);

  /// Tokens that are the same whatever follows; then those of what is left of the text: alone (0), or with ending e (1 + e).
  std::span<const std::int32_t> body() const { return part(0); }
  std::span<const std::int32_t> end(std::size_t which) const { return part(1 + which); }
  std::int64_t size(std::size_t which) const { return static_cast<std::int64_t>(body().size() + end(which).size()); }

 private:
  std::span<const std::int32_t> part(std::size_t i) const;

  std::vector<std::int32_t> tokens_;
  std::vector<std::uint32_t> begin_;  // of the parts, and the end
};

}  // namespace thinkrec
