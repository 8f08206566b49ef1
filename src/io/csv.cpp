#include "io/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "core/joined.h"
#include "io/printable.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMaxRecord = std::size_t{64} << 20;

}  // namespace

struct CsvReader::State {
  LineReader lines;
  std::string separator;
  bool quotes;
  std::vector<std::string> columns;
  std::size_t width = 0;  // fields of a record; 0 until the first
  std::string record, line;
  std::int64_t record_line = 0;  // where the record begins
  struct Range {
    std::size_t begin, end;
  };
  std::vector<Range> ranges;  // of the fields, in `record`

  State(const std::string& path, const CsvFormat& format)
      : lines(path),
        separator(format.separator != '\0' ? std::string(1, format.separator) : format.separator_text),
        quotes(format.quotes) {
    THINKREC_CHECK(!separator.empty(), "CsvFormat without a separator");
  }

  std::string place() const { return fmt::format("{}:{}", lines.path(), record_line); }

  std::string column_name(std::size_t index) const {
    return index < columns.size() ? printable(columns[index]) : std::to_string(index + 1);
  }

  /// Reads and splits a record; false at the end.
  bool read_record() {
    do {
      if (!lines.next(record)) return false;
    } while (record.empty());
    record_line = lines.line_number();
    ranges.clear();
    for (std::size_t at = 0;;) {
      at = quotes && at < record.size() && record[at] == '"' ? quoted_field(at) : plain_field(at);
      if (at == record.size()) return true;
      at += separator.size();
      if (at == record.size()) {  // a separator at the end: one more field, empty
        ranges.push_back({at, at});
        return true;
      }
    }
  }

  /// Takes the field at `at`; gives the place of the separator after it, or the end.
  std::size_t plain_field(std::size_t at) {
    const std::size_t end = std::min(record.find(separator, at), record.size());
    ranges.push_back({at, end});
    return end;
  }

  /// The same for a quoted field. It is unescaped where it lies: what is written never overtakes what is read.
  std::size_t quoted_field(std::size_t at) {
    const std::size_t begin = at + 1;
    std::size_t to = begin;
    for (std::size_t from = begin;;) {
      if (from == record.size()) {  // the field goes on in the next line
        if (!lines.next(line)) fail(ExitCode::kBadData, "{}: a quoted field is never closed", place());
        if (record.size() + line.size() >= kMaxRecord) fail(ExitCode::kBadData, "{}: a record of more than 64 MiB", place());
        record += '\n';
        record += line;
        continue;
      }
      if (record[from] != '"') {
        record[to++] = record[from++];
        continue;
      }
      if (from + 1 < record.size() && record[from + 1] == '"') {
        record[to++] = '"';
        from += 2;
        continue;
      }
      ++from;
      if (from != record.size() && record.compare(from, separator.size(), separator) != 0) {
        fail(ExitCode::kBadData, "{}: text after the closing quote of field {}", place(), ranges.size() + 1);
      }
      ranges.push_back({begin, to});
      return from;
    }
  }

  std::string_view field(std::size_t index) const {
    THINKREC_CHECK(index < ranges.size(), "field {} of {} at {}", index, ranges.size(), place());
    return std::string_view(record).substr(ranges[index].begin, ranges[index].end - ranges[index].begin);
  }

  template <class T>
  T number(std::size_t index, const char* kind) const {
    const std::string_view text = field(index);
    T value{};
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool good = error == std::errc() && rest == text.data() + text.size();
    if constexpr (std::is_floating_point_v<T>) good = good && std::isfinite(value);
    if (!good) {
      const bool range = error == std::errc::result_out_of_range && rest == text.data() + text.size();
      fail(ExitCode::kBadData, "{}: column {}: '{}' is {} {}", place(), column_name(index), printable(text),
           range ? "out of the range of" : "not", kind);
    }
    return value;
  }
};

CsvReader::CsvReader(const std::string& path, CsvFormat format) : state_(std::make_unique<State>(path, format)) {
  if (!format.header) return;
  if (!state_->read_record()) fail(ExitCode::kBadData, "{}: empty, without even a header", path);
  for (std::size_t i = 0; i < state_->ranges.size(); ++i) state_->columns.emplace_back(state_->field(i));
  state_->width = state_->columns.size();
  state_->ranges.clear();  // no field before next()
}

CsvReader::~CsvReader() = default;

const std::vector<std::string>& CsvReader::columns() const { return state_->columns; }

std::size_t CsvReader::column(std::string_view name) const {
  const auto& columns = state_->columns;
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) {
    fail(ExitCode::kBadData, "{}: no column '{}'; there are: {}", state_->lines.path(), name, printable(joined(columns, ", ")));
  }
  if (std::find(found + 1, columns.end(), name) != columns.end())
    fail(ExitCode::kBadData, "{}: column '{}' is there twice", state_->lines.path(), name);
  return static_cast<std::size_t>(found - columns.begin());
}

bool CsvReader::next() {
  if (!state_->read_record()) {
    state_->ranges.clear();
    return false;
  }
  if (state_->width == 0) state_->width = state_->ranges.size();
  if (state_->ranges.size() != state_->width) {
    fail(ExitCode::kBadData, "{}: {} fields, expected {}", place(), state_->ranges.size(), state_->width);
  }
  return true;
}

std::string_view CsvReader::field(std::size_t index) const { return state_->field(index); }
std::int64_t CsvReader::integer(std::size_t index) const { return state_->number<std::int64_t>(index, "an integer"); }
double CsvReader::real(std::size_t index) const { return state_->number<double>(index, "a number"); }
std::string CsvReader::place() const { return state_->place(); }

}  // namespace thinkrec
