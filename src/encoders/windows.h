#pragma once
// How SASRec cuts a user's interactions into windows. Position p of a window holds what was known before interaction begin + p:
// position 0 a token that says "nothing yet" (begin 0) or "cut here", position p the (begin + p - 1)th interaction of the user.
// Which window serves an interaction is a function of its place in the user's sequence alone, so that training, scoring and
// serving see the same context.

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

struct Window {
  std::int32_t user = 0;
  std::int64_t begin = 0;            ///< interactions of the user before the window
  std::int64_t first = 0, last = 0;  ///< interactions (counted within the user) that the window serves, both included
  std::int64_t targets = 0;          ///< train rows among them
};

class WindowRule {
 public:
  /// At most `length` history items; windows beyond the first start every `stride` interactions, 1 <= stride <= length.
  WindowRule(std::int64_t length, std::int64_t stride) : length_(length), stride_(stride) {}
  std::int64_t length() const { return length_; }
  /// Where the window that serves the user's `place`th interaction (from 0) begins.
  std::int64_t begin(std::int64_t place) const {
    return place <= length_ ? 0 : (place - length_ + stride_ - 1) / stride_ * stride_;
  }

 private:
  std::int64_t length_, stride_;
};

/// The windows that serve at least one train row, by user and place.
std::vector<Window> train_windows(const Dataset& dataset, const WindowRule& rule);

}  // namespace thinkrec
