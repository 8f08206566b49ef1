#include "data/formats/dates.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

namespace thinkrec {
namespace {

constexpr std::int64_t kDay = 86400;

/// Numbers of two digits (the first: four) between the separators, and nothing else.
template <std::size_t n>
std::optional<std::array<int, n>> split_digits(std::string_view text, char separator, std::size_t first_digits) {
  std::array<int, n> values{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i > 0 && (at >= text.size() || text[at++] != separator)) return std::nullopt;
    for (std::size_t digit = 0; digit < (i == 0 ? first_digits : 2); ++digit, ++at) {
      if (at >= text.size() || text[at] < '0' || text[at] > '9') return std::nullopt;
      values[i] = 10 * values[i] + (text[at] - '0');
    }
  }
  if (at != text.size()) return std::nullopt;
  return values;
}

}  // namespace

std::optional<std::int64_t> parse_date(std::string_view text) {
  constexpr std::size_t kDate = 10;  // "2017-10-31"
  const auto date = split_digits<3>(text.substr(0, kDate), '-', 4);
  if (!date) return std::nullopt;
  const std::chrono::year_month_day day{std::chrono::year((*date)[0]), std::chrono::month(static_cast<unsigned>((*date)[1])),
                                        std::chrono::day(static_cast<unsigned>((*date)[2]))};
  if (!day.ok()) return std::nullopt;
  const std::int64_t midnight = kDay * std::chrono::sys_days(day).time_since_epoch().count();
  if (text.size() == kDate) return midnight;
  if (text[kDate] != ' ') return std::nullopt;
  const auto time = split_digits<3>(text.substr(kDate + 1), ':', 2);
  if (!time || (*time)[0] > 23 || (*time)[1] > 59 || (*time)[2] > 59) return std::nullopt;
  return midnight + 3600 * (*time)[0] + 60 * (*time)[1] + (*time)[2];
}

std::string format_date(std::int64_t seconds) {
  const std::int64_t rest = ((seconds % kDay) + kDay) % kDay;
  const std::chrono::year_month_day day{std::chrono::sys_days(std::chrono::days((seconds - rest) / kDay))};
  const std::string date = fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                                       static_cast<unsigned>(day.day()));
  if (rest == 0) return date;
  return fmt::format("{} {:02}:{:02}:{:02}", date, rest / 3600, rest / 60 % 60, rest % 60);
}

}  // namespace thinkrec
