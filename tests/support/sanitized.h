#pragma once

namespace thinkrec {

/// How much of something a test does. Sanitizers make it up to fifty times as long: `less` is as much as goes through the same code.
template <class T>
constexpr T unless_sanitized([[maybe_unused]] T whole, [[maybe_unused]] T less) {
#if defined(THINKREC_SANITIZED)
  return less;
#else
  return whole;
#endif
}

}  // namespace thinkrec
