#include "data/formats/fields.h"

#include <charconv>

#include "core/error.h"
#include "core/joined.h"
#include "core/utf8.h"
#include "io/file.h"
#include "io/printable.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMaxKeywords = 10;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::optional<std::size_t> search_column(const CsvReader& file, std::string_view name, bool typed) {
  const auto& columns = file.columns();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] == name || (typed && without_type(columns[i]) == name))
      return file.column(columns[i]);  // refuses one that is there twice
  }
  return std::nullopt;
}

}  // namespace

std::string find_plain_or_gzip(const std::string& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    const auto path = std::filesystem::path(folder) / (name + ending);
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path.string();
  }
  fail(ExitCode::kNoInput, "{}: there is neither {} nor {}.gz; point --input at the folder that holds it", folder, name, name);
}

std::string hash_files(const std::vector<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) text += std::filesystem::path(path).filename().string() + "\n" + sha256_file(path) + "\n";
  return sha256_hex(text);
}

std::optional<std::size_t> find_optional_column(const CsvReader& file, const std::string& given, const std::string& fallback,
                                                const char* option, bool typed) {
  const auto found = search_column(file, given.empty() ? fallback : given, typed);
  if (found || given.empty()) return found;
  return find_column(file, given, fallback, option, typed);  // asked for: its absence is an error
}

std::size_t find_column(const CsvReader& file, const std::string& given, const std::string& fallback, const char* option,
                        bool typed) {
  const std::string& name = given.empty() ? fallback : given;
  if (const auto found = search_column(file, name, typed)) return *found;
  fail(ExitCode::kBadData, "{}: there is no column '{}'; the columns are {}; say which one it is by {}", file.place(), name,
       printable(joined(file.columns(), ", ")), option);
}

std::string_view without_type(std::string_view header) { return header.substr(0, header.find(':')); }

std::int64_t read_timestamp(const CsvReader& file, std::size_t column) {
  const std::string_view field = file.field(column);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error == std::errc() && end == field.data() + field.size()) return value;
  const double real = file.real(column), whole = std::floor(real);
  // Above 2^53 neighbouring times become equal as doubles, and the order of the interactions would be lost.
  if (!(std::abs(whole) <= 9007199254740992.0))
    fail(ExitCode::kBadData, "{}: the timestamp {} is out of range; write it as an integer", file.place(), in_quotes(field));
  // So it would be by a fraction cut from days or years; one of seconds since 1970 may go.
  constexpr double kLeastUnixTime = 1e8;  // 1973
  if (whole != real && std::abs(real) < kLeastUnixTime) {
    fail(ExitCode::kBadData,
         "{}: the timestamp {} has a fraction, which would be cut; write whole numbers, for example in seconds", file.place(),
         in_quotes(field));
  }
  return static_cast<std::int64_t>(whole);
}

std::string read_text(const CsvReader& file, std::size_t column) {
  const std::string_view field = file.field(column);
  if (!is_utf8(field)) {
    fail(ExitCode::kBadData, "{}: column {} is not UTF-8; convert the file, for example with iconv -f latin1 -t utf-8",
         file.place(), column < file.columns().size() ? in_quotes(file.columns()[column]) : std::to_string(column + 1));
  }
  return tidy(field);
}

std::string from_latin1(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | byte >> 6);
      out += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return out;
}

std::string tidy(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!is_space(c)) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string strip_year(const std::string& title) {
  constexpr std::size_t kYear = 7;  // " (1995)"
  if (title.size() <= kYear) return title;
  const std::string_view end = std::string_view(title).substr(title.size() - kYear);
  const bool digits = std::all_of(end.begin() + 2, end.begin() + 6, [](char c) { return c >= '0' && c <= '9'; });
  return end.starts_with(" (") && end.ends_with(')') && digits ? tidy(title.substr(0, title.size() - kYear)) : title;
}

std::string normalize_keywords(std::string_view text, KeywordSeparator separator) {
  if (tidy(text) == "(no genres listed)") return {};
  std::vector<std::string> keywords;
  const auto is_separator = [&](char c) { return separator == KeywordSeparator::kSpace ? is_space(c) : c == ',' || c == '|'; };
  for (std::size_t begin = 0; begin <= text.size() && keywords.size() < kMaxKeywords;) {
    std::size_t end = begin;
    while (end < text.size() && !is_separator(text[end])) ++end;
    std::string keyword = tidy(text.substr(begin, end - begin));
    if (!keyword.empty() && std::find(keywords.begin(), keywords.end(), keyword) == keywords.end())
      keywords.push_back(std::move(keyword));
    begin = end + 1;
  }
  return joined(keywords, ", ");
}

std::string item_profile(std::string_view category, std::string_view description) {
  constexpr int kMaxWords = 100;  // as the reference implementation has it
  std::string text;
  for (const auto& [name, value] : {std::pair("Category: ", tidy(category)), std::pair("Description: ", tidy(description))}) {
    if (value.empty()) continue;
    if (!text.empty()) text += text.ends_with('.') ? " " : ". ";
    text += name + value;
  }
  int words = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == ' ' && ++words == kMaxWords) text.resize(at);
  }
  return text;
}

}  // namespace thinkrec
