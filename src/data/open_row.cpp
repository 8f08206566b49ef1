#include "data/open_row.h"

#include <algorithm>

#include "core/error.h"

namespace thinkrec {

std::pair<Dataset, std::int64_t> with_open_row(const Dataset& dataset, std::int64_t user) {
  auto [open, rows] = with_open_rows(dataset, std::span(&user, 1));
  return {std::move(open), rows[0]};
}

std::pair<Dataset, std::vector<std::int64_t>> with_open_rows(const Dataset& dataset, std::span<const std::int64_t> users) {
  // Each open row goes in front of the interaction `before`, which begins the next user.
  std::vector<std::int64_t> before, rows;
  for (std::size_t i = 0; i < users.size(); ++i) {
    THINKREC_CHECK(users[i] >= 0 && users[i] < static_cast<std::int64_t>(dataset.users.size()), "user {}", users[i]);
    THINKREC_CHECK(i == 0 || users[i - 1] < users[i], "user {} after {}", users[i], users[i - 1]);
    before.push_back(dataset.user_begin[static_cast<std::size_t>(users[i]) + 1]);
    rows.push_back(before.back() + static_cast<std::int64_t>(i));
  }
  Dataset open = dataset;
  const auto insert = [&](auto& values, const auto& from, const auto& value_of) {
    values.clear();
    values.reserve(from.size() + users.size());
    std::int64_t taken = 0;
    for (std::size_t i = 0; i < users.size(); ++i) {
      values.insert(values.end(), from.begin() + taken, from.begin() + before[i]);
      taken = before[i];
      values.push_back(value_of(i));
    }
    values.insert(values.end(), from.begin() + taken, from.end());
  };
  insert(open.user, dataset.user, [&](std::size_t i) { return static_cast<std::int32_t>(users[i]); });
  insert(open.item, dataset.item, [](std::size_t) { return std::int32_t{0}; });
  insert(open.label, dataset.label, [](std::size_t) { return std::uint8_t{0}; });
  insert(open.timestamp, dataset.timestamp,
         [&](std::size_t i) { return before[i] > 0 ? dataset.timestamp[static_cast<std::size_t>(before[i]) - 1] : std::int64_t{0}; });
  const auto shift = [&](std::int64_t& index) { index += std::upper_bound(before.begin(), before.end(), index) - before.begin(); };
  for (auto& split : open.splits) std::for_each(split.begin(), split.end(), shift);
  for (Reason& reason : open.reasons) shift(reason.row);
  std::size_t passed = 0;
  for (std::size_t u = 0; u + 1 < open.user_begin.size(); ++u) {
    if (passed < users.size() && users[passed] == static_cast<std::int64_t>(u)) ++passed;
    open.user_begin[u + 1] += static_cast<std::int64_t>(passed);
  }
  return {std::move(open), std::move(rows)};
}

}  // namespace thinkrec
