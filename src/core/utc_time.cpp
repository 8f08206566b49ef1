#include "core/utc_time.h"

#include <array>
#include <ctime>

namespace thinkrec {

std::string utc_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, sizeof("9999-12-31T23:59:59Z") + 8> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace thinkrec
