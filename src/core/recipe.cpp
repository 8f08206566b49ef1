#include "core/recipe.h"

#include <openssl/evp.h>

#include <algorithm>

#include "core/error.h"
#include "core/joined.h"
#include "core/recipe_reader.h"

namespace thinkrec {
namespace {

/// The elements of a list of scalars on one line: [a, b].
std::string flow_list(const std::vector<std::string>& texts) {
  std::string result;
  for (const auto& text : texts) result += (result.empty() ? "" : ", ") + yaml_scalar(text);
  return fmt::format("[{}]", result);
}

const Option* find_option(const OptionTable& table, const std::string& generic) {
  for (const auto& option : table) {
    if (option.name == generic) return &option;
  }
  return nullptr;
}

}  // namespace

std::string generic_name(const std::string& name) {
  std::string result;
  for (std::size_t from = 0; from <= name.size();) {
    const auto dot = std::min(name.find('.', from), name.size());
    const std::string key = name.substr(from, dot - from);
    const bool index = !key.empty() && key.find_first_not_of("0123456789") == std::string::npos;
    result += (from == 0 ? "" : ".") + (index ? "*" : key);
    from = dot + 1;
  }
  return result;
}

Recipe Recipe::load(const std::string& path, std::span<const std::string> sets, const OptionTable& table,
                    const RecipeConflicts& conflicts) {
  RecipeReader reader(table);
  reader.read(path, sets, conflicts);
  if (!reader.errors().empty()) {
    std::string message;
    for (const auto& line : reader.errors()) message += (message.empty() ? "" : "\n") + line;
    throw Error(ExitCode::kConfig, message);
  }
  return reader.take();
}

std::vector<std::string> Recipe::validate(const std::string& path, std::span<const std::string> sets, const OptionTable& table,
                                          const RecipeConflicts& conflicts) {
  RecipeReader reader(table);
  try {
    reader.read(path, sets, conflicts);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kNoInput) throw;
    return {error.what()};
  }
  return reader.errors();
}

const Recipe::Value& Recipe::value(const std::string& name, std::span<const OptionType> types) const {
  const auto found = values_.find(name);
  THINKREC_CHECK(found != values_.end(), "the recipe has no option {}", name);
  const Option* option = find_option(table_, generic_name(name));
  THINKREC_CHECK(option != nullptr, "the table has no option {}", name);
  const bool fits = types.empty() || std::find(types.begin(), types.end(), option->type) != types.end();
  THINKREC_CHECK(fits, "{} is of type {} and is asked for as another", name, type_name(option->type));
  return found->second;
}

std::string Recipe::text(const std::string& name) const {
  constexpr OptionType kTypes[] = {OptionType::kText, OptionType::kChoice, OptionType::kPath};
  return value(name, kTypes).texts.front();
}

std::int64_t Recipe::integer(const std::string& name) const {
  constexpr OptionType kTypes[] = {OptionType::kInteger};
  const auto& text = value(name, kTypes).texts.front();
  if (text.empty()) fail(ExitCode::kConfig, "{} is needed: give it in the recipe or by --set {}=...", name, name);
  return parse_integer(text).value();
}

double Recipe::real(const std::string& name) const {
  constexpr OptionType kTypes[] = {OptionType::kReal, OptionType::kInteger};
  const auto& text = value(name, kTypes).texts.front();
  if (text.empty()) fail(ExitCode::kConfig, "{} is needed: give it in the recipe or by --set {}=...", name, name);
  return parse_real(text).value();
}

bool Recipe::flag(const std::string& name) const {
  constexpr OptionType kTypes[] = {OptionType::kFlag};
  return value(name, kTypes).texts.front() == "true";
}

std::vector<std::string> Recipe::list(const std::string& name) const {
  constexpr OptionType kTypes[] = {OptionType::kTextList};
  return value(name, kTypes).texts;
}

std::vector<double> Recipe::real_list(const std::string& name) const {
  constexpr OptionType kTypes[] = {OptionType::kRealList};
  std::vector<double> result;
  for (const auto& text : value(name, kTypes).texts) result.push_back(parse_real(text).value());
  return result;
}

bool Recipe::given(const std::string& name) const { return value(name, {}).given; }

bool Recipe::has_value(const std::string& name) const {
  const auto& texts = value(name, {}).texts;
  return !texts.empty() && !texts.front().empty();
}

std::int64_t Recipe::count(const std::string& name) const {
  const auto found = counts_.find(name);
  THINKREC_CHECK(found != counts_.end(), "the recipe has no list {}", name);
  return found->second;
}

std::string Recipe::resolved() const {
  std::string text;
  write_section(*build_schema(table_), "", 0, text);
  return text;
}

void Recipe::write_section(const RecipeSchema& section, const std::string& name, std::size_t depth, std::string& text) const {
  const std::string indent(2 * depth, ' ');
  const auto value_text = [&](const Option& option, const std::string& full) {
    const auto& texts = values_.at(full).texts;
    return (is_list(option.type) ? flow_list(texts) : yaml_scalar(texts.front())) + "\n";
  };
  for (const auto& child : section.children) {
    const std::string full = join_name(name, child->key);
    text += indent + yaml_scalar(child->key) + ":";
    if (child->option != nullptr) {
      text += ' ';
      text += value_text(*child->option, full);
    } else if (!child->is_list()) {
      text += "\n";
      write_section(*child, full, depth + 1, text);
    } else {
      text += count(full) == 0 ? " []\n" : "\n";
      const RecipeSchema& element = *child->children[0];
      for (std::int64_t i = 0; i < count(full); ++i) {
        const std::string item = join_name(full, std::to_string(i));
        if (element.option != nullptr) {
          text += indent + "  - " + value_text(*element.option, item);
          continue;
        }
        const std::size_t start = text.size();
        write_section(element, item, depth + 2, text);
        text[start + indent.size() + 2] = '-';  // the first line of the element carries the dash, in its own indentation
      }
    }
  }
}

std::vector<std::pair<std::string, std::string>> Recipe::affecting() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [name, value] : values_) {  // a map: sorted by name, whatever the order of the table
    const Option* option = find_option(table_, generic_name(name));
    THINKREC_CHECK(option != nullptr, "the table has no option {}", name);
    if (option->affects_result) all.emplace_back(name, flow_list(value.texts));
  }
  return all;
}

std::vector<std::string> Recipe::changed() const {
  std::vector<std::string> all;
  for (const auto& [name, value] : values_) {
    const Option* option = find_option(table_, generic_name(name));
    THINKREC_CHECK(option != nullptr, "the table has no option {}", name);
    const auto usual = is_list(option->type) ? split_list(option->default_value) : std::vector{option->default_value};
    if (value.given && value.texts != usual) all.push_back(fmt::format("{}={}", name, joined(value.texts, ",")));
  }
  return all;
}

std::string Recipe::hash(bool only_given) const {
  std::string text;
  for (const auto& [name, value] : affecting()) {
    if (!only_given || given(name)) text += name + ": " + value + "\n";
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  THINKREC_CHECK(EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr) == 1, "SHA-256 is not available");
  std::string result;
  for (unsigned i = 0; i < length; ++i) result += fmt::format("{:02x}", static_cast<unsigned>(digest[i]));
  return result;
}

}  // namespace thinkrec
