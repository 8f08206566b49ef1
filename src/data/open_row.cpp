#include "data/open_row.h"

#include "core/error.h"

namespace thinkrec {

namespace {

/// The index of the row added.
std::int64_t add_open_row(Dataset& open, std::int64_t user) {
  THINKREC_CHECK(user >= 0 && user < static_cast<std::int64_t>(open.users.size()), "user {}", user);
  const std::int64_t row = open.user_begin[static_cast<std::size_t>(user) + 1];
  const auto insert = [row](auto& values, auto value) { values.insert(values.begin() + row, value); };
  insert(open.user, static_cast<std::int32_t>(user));
  insert(open.item, std::int32_t{0});
  insert(open.label, std::uint8_t{0});
  insert(open.timestamp, row > 0 ? open.timestamp[static_cast<std::size_t>(row) - 1] : std::int64_t{0});
  for (std::size_t u = static_cast<std::size_t>(user) + 1; u < open.user_begin.size(); ++u) ++open.user_begin[u];
  const auto shift = [row](std::int64_t& index) { index += index >= row ? 1 : 0; };
  for (auto& split : open.splits) {
    for (std::int64_t& index : split) shift(index);
  }
  for (Reason& reason : open.reasons) shift(reason.row);
  return row;
}

}  // namespace

std::pair<Dataset, std::int64_t> with_open_row(const Dataset& dataset, std::int64_t user) {
  auto [open, rows] = with_open_rows(dataset, std::span(&user, 1));
  return {std::move(open), rows[0]};
}

std::pair<Dataset, std::vector<std::int64_t>> with_open_rows(const Dataset& dataset, std::span<const std::int64_t> users) {
  std::pair<Dataset, std::vector<std::int64_t>> out = {dataset, {}};
  for (std::size_t i = 0; i < users.size(); ++i) {
    THINKREC_CHECK(i == 0 || users[i - 1] < users[i], "user {} after {}", users[i], users[i - 1]);
    out.second.push_back(add_open_row(out.first, users[i]));  // the rows before it, those of lower users, stay where they are
  }
  return out;
}

}  // namespace thinkrec
