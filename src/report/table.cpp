#include "report/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/error.h"

namespace thinkrec {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// Blocks rather than single characters: combining marks, joiners and variation selectors; East Asian wide and emoji.
constexpr std::array<Range, 8> kZeroWidth = {{{0x0300, 0x036F},
                                              {0x1AB0, 0x1AFF},
                                              {0x1DC0, 0x1DFF},
                                              {0x200B, 0x200F},
                                              {0x2060, 0x2064},
                                              {0x20D0, 0x20FF},
                                              {0xFE00, 0xFE0F},
                                              {0xFE20, 0xFE2F}}};
constexpr std::array<Range, 14> kWide = {{{0x1100, 0x115F},
                                          {0x2E80, 0x303E},
                                          {0x3041, 0x33FF},
                                          {0x3400, 0x4DBF},
                                          {0x4E00, 0x9FFF},
                                          {0xA000, 0xA4CF},
                                          {0xAC00, 0xD7A3},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE6F},
                                          {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6},
                                          {0x1F300, 0x1F64F},
                                          {0x1F680, 0x1F9FF},
                                          {0x20000, 0x3FFFD}}};

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, std::uint32_t code) {
  return std::any_of(ranges.begin(), ranges.end(), [&](Range range) { return code >= range.first && code <= range.last; });
}

/// Reads one character at `at`, and moves on; a byte that is no UTF-8 counts as one character of width 1.
std::size_t next_width(std::string_view text, std::size_t& at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  std::uint32_t code = length == 1 ? first : first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
    if ((byte & 0xC0U) != 0x80U) {
      ++at;
      return 1;
    }
    code = code << 6U | (byte & 0x3FU);
  }
  at += length;
  if (within(kZeroWidth, code)) return 0;
  return within(kWide, code) ? 2 : 1;
}

/// A number, a dash in place of one, an interval, a percentage.
bool numeric(std::string_view cell) {
  if (cell == "-") return true;
  if (cell.find_first_of("0123456789") == std::string_view::npos) return false;
  for (std::size_t at = 0; at < cell.size();) {
    if (std::string_view("0123456789.,+-%()[] e").find(cell[at]) != std::string_view::npos) {
      ++at;
    } else if (cell.substr(at).starts_with("±") || cell.substr(at).starts_with("×")) {
      at += 2;
    } else {
      return false;
    }
  }
  return true;
}

std::string padded(const std::string& cell, std::size_t width, bool right) {
  const std::string blanks(width - std::min(width, display_width(cell)), ' ');
  return right ? blanks + cell : cell + blanks;
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) width += next_width(text, at);
  return width;
}

std::string clip_to_width(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  std::size_t at = 0;
  for (std::size_t used = 0; at < text.size();) {
    std::size_t next = at;
    used += next_width(text, next);
    if (used + 1 > width) break;  // one column is for the ellipsis
    at = next;
  }
  return std::string(text.substr(0, at)) + "…";
}

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {}

void Table::add_row(std::vector<std::string> cells) {
  THINKREC_CHECK(cells.size() <= header_.size() && !cells.empty(), "a row of {} cells in a table of {}", cells.size(),
                 header_.size());
  cells.resize(header_.size());
  rows_.push_back(std::move(cells));
}

void Table::add_rule() { rows_.emplace_back(); }

std::string Table::text() const {
  std::vector<std::size_t> widths(header_.size());
  std::vector<bool> right(header_.size(), false);
  std::size_t total = 0;
  for (std::size_t column = 0; column < header_.size(); ++column) {
    widths[column] = display_width(header_[column]);
    bool any = false;
    bool all = true;
    for (const auto& row : rows_) {
      if (row.empty() || row[column].empty()) continue;
      widths[column] = std::max(widths[column], display_width(row[column]));
      any = true;
      all = all && numeric(row[column]);
    }
    right[column] = any && all;
    total += widths[column] + (column == 0 ? 0 : 2);
  }
  std::string rule;
  for (std::size_t i = 0; i < total; ++i) rule += "─";
  rule += "\n";
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string result;
    for (std::size_t column = 0; column < cells.size(); ++column) {
      result += (column == 0 ? "" : "  ") + padded(cells[column], widths[column], right[column]);
    }
    return result.substr(0, result.find_last_not_of(' ') + 1) + "\n";
  };
  std::string result = line(header_) + rule;
  for (const auto& row : rows_) result += row.empty() ? rule : line(row);
  return result;
}

std::string format_number(double value, int digits) { return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-"; }

std::string format_count(std::int64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string result;
  for (std::size_t at = 0; at < digits.size(); ++at) {
    const bool first = at == 0 || digits[at - 1] == '-';
    if (!first && (digits.size() - at) % 3 == 0) result += ',';
    result += digits[at];
  }
  return result;
}

}  // namespace thinkrec
