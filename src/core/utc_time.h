#pragma once

#include <string>

namespace thinkrec {

/// The time now, as ISO 8601 writes it, in UTC: 2026-01-31T23:59:59Z.
std::string utc_time();

}  // namespace thinkrec
