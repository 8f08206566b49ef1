#pragma once
// Tables for the terminal.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

/// Columns a text takes on a terminal: UTF-8, combining marks 0, East Asian wide and emoji 2; an invalid byte counts 1.
std::size_t display_width(std::string_view text);

/// The first `width` columns, with "…" as the last one when something was cut.
std::string clip_to_width(std::string_view text, std::size_t width);

class Table {
 public:
  explicit Table(std::vector<std::string> header);

  /// Shorter rows are filled up with empty cells; a longer one is Error kInternal.
  void add_row(std::vector<std::string> cells);

  /// A thin line between the rows before and after.
  void add_rule();

  /// Columns whose cells are all numbers (a number may carry %, ±, an interval or a unit sign) are right-aligned. Ends with a
  /// newline.
  std::string text() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;  ///< an empty row is a rule
};

/// Fixed digits: format_number(0.66734, 4) = "0.6673"; "-" for NaN and infinity.
std::string format_number(double value, int digits);
std::string format_count(std::int64_t value);  ///< 1234567 -> "1,234,567"

}  // namespace thinkrec
