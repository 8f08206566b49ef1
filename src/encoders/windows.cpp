#include "encoders/windows.h"

#include <algorithm>

namespace thinkrec {

std::vector<Window> train_windows(const Dataset& dataset, const WindowRule& rule) {
  std::vector<std::int64_t> rows = dataset.rows(Split::kTrain);
  std::sort(rows.begin(), rows.end());
  std::vector<Window> windows;
  for (std::int64_t row : rows) {
    const std::int32_t user = dataset.user[row];
    const std::int64_t place = row - dataset.user_begin[user], begin = rule.begin(place);
    if (windows.empty() || windows.back().user != user || windows.back().begin != begin)
      windows.push_back({.user = user, .begin = begin, .first = place, .last = place, .targets = 0});
    windows.back().last = place;
    ++windows.back().targets;
  }
  return windows;
}

}  // namespace thinkrec
