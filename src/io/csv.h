#pragma once
// Delimited text, plain or gzip: RFC 4180 quoting for CSV, none for tab-separated files; errors carry file:line.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

/// Lines of a plain or gzip-compressed file, without their end (\n or \r\n). A line is at most 64 MiB.
class LineReader {
 public:
  explicit LineReader(const std::string& path);  ///< kNoInput when it cannot be opened
  ~LineReader();
  bool next(std::string& line);      ///< false at the end; kBadData on a truncated or corrupt gzip stream
  std::int64_t line_number() const;  ///< of the line last returned, from 1
  const std::string& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct CsvFormat {
  char separator = ',';  ///< one character, or '\0' with `separator_text` for MovieLens' "::"
  std::string separator_text;
  bool quotes = true;  ///< RFC 4180: "a ""quoted"" field", which may span lines
  bool header = true;
};

/// Records of a delimited file, field access by column name (or index without a header).
class CsvReader {
 public:
  CsvReader(const std::string& path, CsvFormat format);
  ~CsvReader();
  const std::vector<std::string>& columns() const;
  /// Index of a column. kBadData names file, the column, and the columns there are.
  std::size_t column(std::string_view name) const;
  /// Next record; false at the end. kBadData (file:line) when the number of fields differs from the header's.
  bool next();
  std::string_view field(std::size_t index) const;
  /// Numbers, whole field; kBadData "file:line: column NAME: 'x' is not a number" and for NaN, Inf and overflow.
  std::int64_t integer(std::size_t index) const;
  double real(std::size_t index) const;
  /// "file:line", for messages of the caller.
  std::string place() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thinkrec
