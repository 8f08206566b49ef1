#include "core/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::size_t kLongestEcho = 120;  // characters of a bad value that a message repeats

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string echo(std::string_view text) {
  return text.size() <= kLongestEcho ? std::string(text) : std::string(text.substr(0, kLongestEcho)) + "...";
}

struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  bool holds(double value) const { return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high); }
};

std::optional<double> bound(std::string_view text) {
  text = trim(text);
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  return parse_real(text);
}

std::optional<Interval> parse_interval(std::string_view text) {
  Interval result;
  text = trim(text);
  if (text.size() > 1 && (text[0] == '>' || text[0] == '<')) {
    const bool open = text[1] != '=';
    const auto value = bound(text.substr(open ? 1 : 2));
    if (!value) return std::nullopt;
    (text[0] == '>' ? result.low : result.high) = *value;
    (text[0] == '>' ? result.low_open : result.high_open) = open;
    return result;
  }
  const auto comma = text.find(',');
  if (text.size() < 5 || comma == std::string_view::npos) return std::nullopt;
  const char left = text.front();
  const char right = text.back();
  if ((left != '(' && left != '[') || (right != ')' && right != ']')) return std::nullopt;
  const auto low = bound(text.substr(1, comma - 1));
  const auto high = bound(text.substr(comma + 1, text.size() - comma - 2));
  if (!low || !high) return std::nullopt;
  return Interval{*low, *high, left == '(', right == ')'};
}

constexpr std::string_view kChoices = "choices ";

std::vector<std::string> parse_choices(std::string_view range) {
  std::vector<std::string> result;
  range.remove_prefix(kChoices.size());
  while (true) {
    const auto bar = range.find('|');
    result.emplace_back(trim(range.substr(0, bar)));
    if (bar == std::string_view::npos) return result;
    range.remove_prefix(bar + 1);
  }
}

std::optional<std::string> check_number(const Option& option, double value, std::string_view text) {
  if (option.range.empty()) return std::nullopt;
  const auto interval = parse_interval(option.range);
  THINKREC_CHECK(interval, "the range '{}' of the option {} cannot be read", option.range, option.name);
  if (interval->holds(value)) return std::nullopt;
  const bool is_bound = option.range[0] == '>' || option.range[0] == '<';
  return fmt::format("must {} {}, got {}", is_bound ? "be" : "lie in", option.range, echo(text));
}

std::optional<std::string> check_text(const Option& option, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return "must not hold a NUL character";
  if (option.range.empty()) return std::nullopt;
  THINKREC_CHECK(option.range.starts_with(kChoices), "the range '{}' of the option {} cannot be read", option.range, option.name);
  const auto choices = parse_choices(option.range);
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::nullopt;
  std::string list;
  for (const auto& choice : choices) list += (list.empty() ? "" : ", ") + choice;
  return fmt::format("must be one of {}, got '{}'{}", list, echo(text), suggestion(text, choices));
}

/// Letters of the longer one that the other lacks: no fewer insertions, deletions, substitutions and exchanges of neighbours make one of
/// the other.
std::size_t least_distance(std::string_view a, std::string_view b) {
  std::array<int, 256> left{};
  for (const char c : a) ++left[static_cast<unsigned char>(c)];
  std::size_t common = 0;
  for (const char c : b) common += left[static_cast<unsigned char>(c)]-- > 0 ? 1 : 0;
  return std::max(a.size(), b.size()) - common;
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  text = trim(text);
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {  // 20_000: an underscore only between two digits
    const bool between = i > 0 && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i - 1])) != 0 &&
                         std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0;
    if (text[i] == '_' && between) continue;
    digits += text[i];
  }
  std::string_view rest = digits;
  if (rest.starts_with('+') && !rest.starts_with("+-")) rest.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error == std::errc() && end == rest.data() + rest.size()) return value;
  constexpr double kExact = 9007199254740992.0;  // 2^53: up to here a double like 1e6 is the integer that was meant
  const auto real = rest.find_first_of("eE") == std::string_view::npos ? std::nullopt : parse_real(rest);
  if (!real || std::abs(*real) > kExact || *real != std::floor(*real)) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

std::optional<double> parse_real(std::string_view text) {
  text = trim(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> parse_flag(std::string_view text) {
  std::string lower(trim(text));
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (lower == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (lower == no) return false;
  }
  return std::nullopt;
}

std::vector<std::string> split_list(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = trim(text.substr(1, text.size() - 2));
  std::vector<std::string> result;
  while (!text.empty()) {
    const auto comma = text.find(',');
    result.emplace_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) result.emplace_back();  // "a," has an empty second element, which a check can then refuse
  }
  return result;
}

std::optional<std::string> validate_value(const Option& option, std::string_view text) {
  const auto wrong = [&](const char* wanted) { return fmt::format("must be {}, got '{}'", wanted, echo(text)); };
  switch (option.type) {
    case OptionType::kInteger: {
      const auto value = parse_integer(text);
      if (!value) return wrong("an integer");
      return check_number(option, static_cast<double>(*value), text);
    }
    case OptionType::kReal: {
      const auto value = parse_real(text);
      if (!value) return wrong("a number");
      return check_number(option, *value, text);
    }
    case OptionType::kFlag:
      if (!parse_flag(text)) return wrong("true or false");
      return std::nullopt;
    case OptionType::kText:
    case OptionType::kChoice:
    case OptionType::kPath:
      return check_text(option, text);
    case OptionType::kTextList:
      for (const auto& element : split_list(text)) {
        if (auto error = check_text(option, element)) return error;
      }
      return std::nullopt;
    case OptionType::kRealList:
      for (const auto& element : split_list(text)) {
        const auto value = parse_real(element);
        if (!value) return fmt::format("must be a list of numbers, got '{}' in it", echo(element));
        if (auto error = check_number(option, *value, element)) return error;
      }
      return std::nullopt;
  }
  THINKREC_CHECK(false, "an option type that nobody knows");
}

std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates) {
  constexpr std::size_t kLongest = 128;  // a longer name is no typing error, and the distance costs its square
  if (name.empty() || name.size() > kLongest) return std::nullopt;
  std::optional<std::string> best;
  std::size_t best_distance =
      std::max<std::size_t>(1, name.size() / 3) + 1;  // near enough: a third of it wrong, at least one letter
  for (const auto& candidate : candidates) {
    if (candidate.size() > kLongest || least_distance(name, candidate) >= best_distance) continue;
    // Optimal string alignment: three rows of the table of distances between prefixes.
    const std::size_t width = candidate.size() + 1;
    std::vector<std::size_t> before(width), previous(width), current(width);
    for (std::size_t j = 0; j < width; ++j) previous[j] = j;
    for (std::size_t i = 1; i <= name.size(); ++i) {
      current[0] = i;
      for (std::size_t j = 1; j < width; ++j) {
        const bool same = name[i - 1] == candidate[j - 1];
        current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (same ? 0 : 1)});
        if (i > 1 && j > 1 && name[i - 1] == candidate[j - 2] && name[i - 2] == candidate[j - 1]) {
          current[j] = std::min(current[j], before[j - 2] + 1);
        }
      }
      std::swap(before, previous);
      std::swap(previous, current);
    }
    if (previous.back() < best_distance) {
      best_distance = previous.back();
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view name, std::span<const std::string> candidates) {
  const auto near = nearest_name(name, candidates);
  return near ? fmt::format(" (did you mean '{}'?)", *near) : "";
}

bool is_list(OptionType type) { return type == OptionType::kTextList || type == OptionType::kRealList; }

std::string type_name(OptionType type) {
  switch (type) {
    case OptionType::kText:
      return "text";
    case OptionType::kInteger:
      return "integer";
    case OptionType::kReal:
      return "real";
    case OptionType::kFlag:
      return "flag";
    case OptionType::kChoice:
      return "choice";
    case OptionType::kPath:
      return "path";
    case OptionType::kTextList:
      return "list of texts";
    case OptionType::kRealList:
      return "list of reals";
  }
  THINKREC_CHECK(false, "an option type that nobody knows");
}

std::string describe(const Option& option) {
  std::string result = fmt::format("[{}", type_name(option.type));
  if (option.range.starts_with(kChoices)) {
    result += ": " + option.range.substr(kChoices.size());
  } else if (!option.range.empty()) {
    result += fmt::format(" {}{}", option.range[0] == '(' || option.range[0] == '[' ? "in " : "", option.range);
  }
  if (!option.unit.empty()) result += ", " + option.unit;
  if (option.default_value.empty()) return result + ", no default]";
  return fmt::format("{}, default {}]", result, option.default_value);
}

}  // namespace thinkrec
