#pragma once
// One table defines an option once; parser, validation, --help, the documentation and the stored recipe all come from it.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

enum class OptionType { kText, kInteger, kReal, kFlag, kChoice, kPath, kTextList, kRealList };

/// What bash completes an option's value with, beside files for a kPath and the choices of a range.
enum class Completion { kDefault, kRecipes, kRecipeKeys };

/// `range` is empty, "choices a|b|c", an interval "(0, 1]", "[1, inf)", or a bound ">= 0", "> 0", "<= 1", "< 1". Bounds hold for
/// every element of a kRealList, choices for every element of a kTextList. A list as text is comma-separated: "q_proj,v_proj".
struct Option {
  std::string name;
  OptionType type = OptionType::kText;
  std::string default_value;
  std::string range;
  std::string unit;
  std::string help;
  bool affects_result = true;  ///< false: left out of Recipe::hash()
  Completion completion = Completion::kDefault;
};
using OptionTable = std::vector<Option>;

/// Why `text` is no value of the option ("must lie in (0, 1], got 2"), or nothing when it is one. Numbers are exact: no trailing
/// characters, no NaN or infinity, integers within 64 bits (1e6 and 20_000 are understood). Error kInternal when range is
/// malformed.
std::optional<std::string> validate_value(const Option& option, std::string_view text);

/// The parsers behind validate_value; nothing when the text is not of the type.
std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<double> parse_real(std::string_view text);
std::optional<bool> parse_flag(std::string_view text);  ///< true|false|yes|no|on|off|1|0

/// "a, b" -> {"a", "b"}; also "[a, b]"; the empty text is the empty list.
std::vector<std::string> split_list(std::string_view text);

/// The candidate closest to `name` by edit distance (a swap of neighbours counts 1), or nothing when none is near enough to
/// suggest.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates);

/// " (did you mean 'x'?)" or the empty text.
std::string suggestion(std::string_view name, std::span<const std::string> candidates);

bool is_list(OptionType type);

/// "integer", "real", "text", "flag", "path", "list of reals" ... as shown in --help and in messages.
std::string type_name(OptionType type);

/// "[integer >= 1, seconds, default 20]": type, range, unit and default, for --help and the documentation.
std::string describe(const Option& option);

}  // namespace thinkrec
