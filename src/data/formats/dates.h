#pragma once
// Dates as seconds since 1970, UTC.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thinkrec {

/// "2017-10-31" (its midnight) or "2017-10-31 23:59:58"; none for anything else.
std::optional<std::int64_t> parse_date(std::string_view text);

/// 1509408000 -> "2017-10-31", with the time of day when it is not midnight.
std::string format_date(std::int64_t seconds);

}  // namespace thinkrec
