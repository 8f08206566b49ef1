#pragma once
// What stands beside a GuardedArray where AddressSanitizer does not: bytes that a kernel must leave as they are.

namespace simt::detail {

/// After a launch: a Fault for a byte beside a watched array (simt::detail::watch) that has changed.
void check_red_zones(const char* kernel);

}  // namespace simt::detail
