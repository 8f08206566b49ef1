#include "core/recipe_reader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "core/embedded_recipes.h"
#include "core/error.h"
#include "core/utf8.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMaxErrors = 200;
constexpr std::size_t kMaxBases = 16;
constexpr std::size_t kMaxElements = 1000;   // of one list of sections
constexpr std::size_t kMaxValues = 200'000;  // of a recipe with its defaults

struct TooManyErrors {};

/// The option as the check of one element of a list sees it.
Option element_of(const Option& option) {
  Option element = option;
  if (option.type == OptionType::kTextList) element.type = OptionType::kText;
  if (option.type == OptionType::kRealList) element.type = OptionType::kReal;
  return element;
}

/// One spelling for each value, so that 1e-4 and 0.0001 give the same resolved recipe and hash.
std::string canonical(OptionType type, const std::string& text) {
  if (text.empty()) return text;
  if (type == OptionType::kInteger) return std::to_string(parse_integer(text).value());
  if (type == OptionType::kReal) return fmt::format("{}", parse_real(text).value());
  if (type == OptionType::kFlag) return parse_flag(text).value() ? "true" : "false";
  return text;
}

/// An option may be left empty when its default is, or when it is free text.
bool may_be_empty(const Option& option) {
  const bool text = option.type == OptionType::kText || option.type == OptionType::kPath;
  return option.default_value.empty() || (text && option.range.empty());
}

/// errno's text, or nothing when the file was read; at most one byte over the bound, which parse_yaml then refuses.
std::string read_file(const std::string& path, std::string& text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return std::strerror(errno);
  errno = 0;
  std::array<char, 1 << 14> part;
  for (std::size_t got = 1; got > 0 && text.size() <= kMaxRecipeBytes;) {
    got = std::fread(part.data(), 1, std::min(part.size(), kMaxRecipeBytes + 1 - text.size()), file.get());
    text.append(part.data(), got);
  }
  if (std::ferror(file.get()) != 0) return std::strerror(errno);
  return "";
}

/// Why there is no recipe at `path`, or nothing when it was read: an embedded one by its path, which is spelt out then, or a file.
std::string read_bounded(std::string& path, std::string& text) {
  if (!path.starts_with(kEmbedded)) return read_file(path, text);
  const EmbeddedRecipe* recipe = find_embedded_recipe(path);
  if (recipe == nullptr) return "there is no such recipe" + suggest_embedded_recipe(path);
  path = fmt::format("{}{}.yaml", kEmbedded, recipe->name);
  text = recipe->text;
  return "";
}

}  // namespace

RecipeReader::RecipeReader(const OptionTable& table) {
  recipe_.table_ = table;
  schema_ = build_schema(recipe_.table_);
}

void RecipeReader::read(const std::string& given, std::span<const std::string> sets, const RecipeConflicts& conflicts) {
  std::string path = given;
  try {
    if (!path.empty()) {
      std::error_code ignored;
      const bool is_file = std::filesystem::exists(path, ignored) && !std::filesystem::is_directory(path, ignored);
      if (!is_file && find_embedded_recipe(path) != nullptr && !path.starts_with(kEmbedded)) path.insert(0, kEmbedded);
      std::string text;
      auto reason = read_bounded(path, text);
      if (!is_file && !reason.empty() && !path.starts_with(kEmbedded)) reason += suggest_embedded_recipe(path);
      if (!reason.empty()) fail(ExitCode::kNoInput, "{}: the recipe cannot be read: {}", path, reason);
      read_text(path, text);
    }
    for (const auto& set : sets) apply_set(set);
    fill(*schema_, "");
    if (!conflicts) return;
    for (const auto& line : conflicts(recipe_)) add_conflict(path, line);
  } catch (const TooManyErrors&) {
    errors_.push_back(fmt::format("{}: more than {} errors; the others are not listed", path, kMaxErrors));
  }
}

void RecipeReader::read_text(const std::string& path, const std::string& text) {
  const std::string outer = std::exchange(file_, path);
  chain_.push_back(path);
  try {
    const auto root = parse_yaml(text);
    if (root->kind == YamlNode::Kind::kMap) read_base(path, *root);
    file_ = path;
    apply(*schema_, "", *root);
  } catch (const YamlError& problem) {
    error(problem.place, problem.message);
  }
  chain_.pop_back();
  file_ = outer;
}

void RecipeReader::read_base(const std::string& path, const YamlNode& root) {
  if (schema_->child("base") != nullptr) return;
  for (const auto& entry : root.entries) {
    if (entry.key != "base") continue;
    if (entry.value->kind != YamlNode::Kind::kScalar || entry.value->text.empty()) {
      error(entry.place, "base: must be the path of another recipe");
      return;
    }
    auto base = base_path(path, entry.value->text);
    std::string text;
    const auto reason = read_bounded(base, text);
    if (std::find(chain_.begin(), chain_.end(), base) != chain_.end() || chain_.size() > kMaxBases) {
      error(entry.place, fmt::format("base: '{}' leads in a circle, or the chain of bases is longer than {}", base, kMaxBases));
      return;
    }
    if (reason.empty()) {
      read_text(base, text);
    } else {
      error(entry.place, fmt::format("base: '{}' cannot be read: {}", base, reason));
    }
    return;  // a second `base` is reported as a duplicate key
  }
}

void RecipeReader::apply(const RecipeSchema& schema, const std::string& name, const YamlNode& node) {
  if (schema.option != nullptr) {
    const std::size_t before = errors_.size();
    places_[name] = fmt::format("{}:{}:{}", file_, node.place.line, node.place.column);
    apply_option(*schema.option, name, node);
    if (errors_.size() > before) refused_.insert(name);
  } else if (schema.is_list()) {
    apply_list(schema, name, node);
  } else {
    apply_section(schema, name, node);
  }
}

void RecipeReader::apply_option(const Option& option, const std::string& name, const YamlNode& node) {
  const Option element = element_of(option);
  std::vector<std::string> texts;
  if (node.kind == YamlNode::Kind::kSequence && is_list(option.type)) {
    for (const auto& item : node.items) {
      if (item->kind != YamlNode::Kind::kScalar) {
        error(item->place, name + ": an element of the list must be a single value");
        continue;
      }
      texts.push_back(item->text);
      if (const auto problem = validate_value(element, item->text)) error(item->place, name + " " + *problem);
    }
  } else if (node.kind == YamlNode::Kind::kScalar || node.kind == YamlNode::Kind::kNull) {
    if (is_list(option.type)) {
      texts = split_list(node.text);
    } else {
      texts = {node.text};
    }
    if (node.text.empty() && may_be_empty(option)) return store(option, name, std::move(texts), true);
    if (node.kind == YamlNode::Kind::kNull && !is_list(option.type)) {
      return error(node.place, fmt::format("{} has no value {}", name, describe(option)));
    }
    if (const auto problem = validate_value(option, node.text)) return error(node.place, name + " " + *problem);
  } else {
    const char* got = node.kind == YamlNode::Kind::kMap ? "a section" : "a list";
    return error(node.place, fmt::format("{} must be a single value {}, got {}", name, describe(option), got));
  }
  store(option, name, std::move(texts), true);
}

void RecipeReader::apply_list(const RecipeSchema& schema, const std::string& name, const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kSequence && node.kind != YamlNode::Kind::kNull) {
    refused_.insert(name);
    return error(node.place, name + " must be a list (lines that begin with '- ')");
  }
  if (node.items.size() > kMaxElements) return error(node.place, fmt::format("{} has more than {} elements", name, kMaxElements));
  forget(name);
  recipe_.counts_[name] = static_cast<std::int64_t>(node.items.size());
  for (std::size_t i = 0; i < node.items.size(); ++i)
    apply(*schema.children[0], join_name(name, std::to_string(i)), *node.items[i]);
}

void RecipeReader::apply_section(const RecipeSchema& schema, const std::string& name, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kNull) return;
  if (node.kind != YamlNode::Kind::kMap) {
    return error(node.place, (name.empty() ? "a recipe" : name) + " must be a section (lines 'name: value')");
  }
  std::map<std::string, YamlPlace> seen;
  for (const auto& entry : node.entries) {
    const auto [first, is_new] = seen.emplace(entry.key, entry.place);
    const std::string full = join_name(name, entry.key);
    if (!is_new) {
      error(entry.place, fmt::format("duplicate key '{}' (first on line {})", full, first->second.line));
      continue;
    }
    const RecipeSchema* child = schema.child(entry.key);
    if (child != nullptr) {
      apply(*child, full, *entry.value);
    } else if (!name.empty() || entry.key != "base") {
      error(entry.place, fmt::format("unknown key '{}'{}", full.substr(0, 200), advice(schema, entry.key)));
    }
  }
}

std::string RecipeReader::advice(const RecipeSchema& schema, const std::string& key) const {
  const auto near = suggestion(key, schema.child_names());
  if (!near.empty()) return near;
  for (const auto& option : recipe_.table_) {  // the right key in the wrong section
    if (option.name == key || option.name.ends_with("." + key)) return fmt::format(" (did you mean '{}'?)", option.name);
  }
  std::string names;
  for (const auto& name : schema.child_names()) names += (names.empty() ? "" : ", ") + name;
  return names.empty() || names.size() > 300 ? "" : fmt::format(" (known here: {})", names);
}

void RecipeReader::apply_set(const std::string& text) {
  const auto equals = text.find('=');
  const auto complain = [&](const std::string& message) { add_error(fmt::format("--set {}: {}", text.substr(0, 200), message)); };
  if (equals == std::string::npos || equals == 0) return complain("must be written name=value");
  if (!is_utf8(text)) return complain("must be UTF-8, like the recipe that it is written to");
  const std::string name = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  const RecipeSchema* at = schema_.get();
  std::string walked;
  for (std::size_t from = 0; from <= name.size();) {
    const auto dot = std::min(name.find('.', from), name.size());
    const std::string key = name.substr(from, dot - from);
    from = dot + 1;
    if (at->is_list()) {
      const auto count = recipe_.counts_.contains(walked) ? recipe_.counts_.at(walked) : 0;
      const auto index = parse_integer(key);
      if (!index || *index < 0 || *index >= count || std::to_string(*index) != key) {
        return complain(
            fmt::format("'{}' is no element of {}, which has {} (numbered from 0)", key.substr(0, 60), walked, count));
      }
      at = at->children[0].get();
    } else {
      const RecipeSchema* next = at->child(key);
      if (next == nullptr) {
        auto near = at->option == nullptr ? nearest_name(key, at->child_names()) : std::nullopt;
        if (near) {
          near = join_name(walked, *near) + (dot < name.size() ? name.substr(dot) : "");
        } else {
          std::vector<std::string> names;
          for (const auto& option : recipe_.table_) names.push_back(option.name);
          near = nearest_name(generic_name(name), names);
        }
        return complain(
            fmt::format("unknown option '{}'{}", name.substr(0, 200), near ? " (did you mean '" + *near + "'?)" : ""));
      }
      at = next;
    }
    walked = join_name(walked, key);
  }
  if (at->option == nullptr) return complain(fmt::format("{} is a {}, not an option", name, at->is_list() ? "list" : "section"));
  const Option& option = *at->option;
  auto texts = is_list(option.type) ? split_list(value) : std::vector<std::string>{value};
  places_[name] = fmt::format("--set {}", text.substr(0, 200));
  if (!value.empty() || !may_be_empty(option)) {
    if (const auto problem = validate_value(option, value)) {
      refused_.insert(name);
      return complain(*problem);
    }
  }
  store(option, name, std::move(texts), true);
}

void RecipeReader::fill(const RecipeSchema& schema, const std::string& name) {
  if (recipe_.values_.size() > kMaxValues) {
    add_error(fmt::format("{}: more than {} values in the recipe", name, kMaxValues));
    throw TooManyErrors{};
  }
  if (schema.option != nullptr) {
    if (recipe_.values_.contains(name)) return;
    const auto& text = schema.option->default_value;
    store(*schema.option, name, is_list(schema.option->type) ? split_list(text) : std::vector<std::string>{text}, false);
  } else if (schema.is_list()) {
    const auto count = recipe_.counts_.try_emplace(name, 0).first->second;
    for (std::int64_t i = 0; i < count; ++i) fill(*schema.children[0], join_name(name, std::to_string(i)));
  } else {
    for (const auto& child : schema.children) fill(*child, join_name(name, child->key));
  }
}

void RecipeReader::add_conflict(const std::string& file, const std::string& line) {
  // The line's words that look like names of options: places_ and refused_ tell which are.
  std::string place = file;
  bool placed = false;
  constexpr const char* kLetters = "abcdefghijklmnopqrstuvwxyz0123456789_.";
  for (std::size_t from = line.find_first_of(kLetters); from != line.npos;) {
    const std::size_t end = std::min(line.find_first_not_of(kLetters, from), line.size());
    const std::string word = line.substr(from, end - from);
    if (refused_.contains(word)) return;
    if (const auto given = places_.find(word); given != places_.end() && !std::exchange(placed, true)) place = given->second;
    from = line.find_first_of(kLetters, end);
  }
  add_error(place.empty() ? line : fmt::format("{}: {}", place, line));
}

void RecipeReader::forget(const std::string& name) {
  const auto inside = [&](const auto& entry) { return entry.first.starts_with(name + "."); };
  std::erase_if(recipe_.values_, inside);
  std::erase_if(recipe_.counts_, inside);
}

void RecipeReader::store(const Option& option, const std::string& name, std::vector<std::string> texts, bool given) {
  const auto type = element_of(option).type;
  for (auto& text : texts) {
    if (type == OptionType::kReal && !parse_real(text) && !text.empty()) return;  // refused above, already in the list of errors
    text = canonical(type, text);
  }
  recipe_.values_[name] = {std::move(texts), given};
}

void RecipeReader::error(YamlPlace place, const std::string& message) {
  add_error(fmt::format("{}:{}:{}: {}", file_, place.line, place.column, message));
}

void RecipeReader::add_error(const std::string& line) {
  if (errors_.size() >= kMaxErrors) throw TooManyErrors{};
  std::string clean = line;  // one line each, whatever the file holds
  std::replace(clean.begin(), clean.end(), '\n', ' ');
  errors_.push_back(std::move(clean));
}

}  // namespace thinkrec
