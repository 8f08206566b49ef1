#include "data/open_row.h"

#include "core/error.h"

namespace thinkrec {

std::pair<Dataset, std::int64_t> with_open_row(const Dataset& dataset, std::int64_t user) {
  THINKREC_CHECK(user >= 0 && user < static_cast<std::int64_t>(dataset.users.size()), "user {}", user);
  Dataset open = dataset;
  const std::int64_t row = dataset.user_begin[static_cast<std::size_t>(user) + 1];
  const auto insert = [row](auto& values, auto value) { values.insert(values.begin() + row, value); };
  insert(open.user, static_cast<std::int32_t>(user));
  insert(open.item, std::int32_t{0});
  insert(open.label, std::uint8_t{0});
  insert(open.timestamp, row > 0 ? dataset.timestamp[static_cast<std::size_t>(row) - 1] : std::int64_t{0});
  for (std::size_t u = static_cast<std::size_t>(user) + 1; u < open.user_begin.size(); ++u) ++open.user_begin[u];
  const auto shift = [row](std::int64_t& index) { index += index >= row ? 1 : 0; };
  for (auto& split : open.splits) {
    for (std::int64_t& index : split) shift(index);
  }
  for (Reason& reason : open.reasons) shift(reason.row);
  return {std::move(open), row};
}

}  // namespace thinkrec
