#include "core/command_line.h"

#include <algorithm>
#include <boost/make_shared.hpp>
#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <cstdio>

#include "core/build_info.h"
#include "core/error.h"
#include "core/option_documents.h"
#include "core/run_program.h"

namespace thinkrec {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kHelpWidth = 100;

/// Words of `text` in lines of at most `width` columns, each after `indent`.
std::string wrapped(const std::string& text, const std::string& indent, std::size_t width) {
  std::string result;
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    auto end = text.find(' ', at);
    if (end == std::string::npos) end = text.size();
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > width) {
      result += indent + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  return line.empty() ? result : result + indent + line + "\n";
}

/// What --help, --version or --help-format prints.
std::string common_text(const ProgramInfo& program, const OptionTable& table, const Option& option, const std::string& value) {
  if (const auto error = validate_value(option, value)) fail(ExitCode::kUsage, "--{} {}", option.name, *error);
  if (option.name == "help") return help_text(program, table);
  if (option.name == "version") {
    const std::string commit = program_commit();
    return program.name + " " + program_version() + (commit.empty() ? "" : " (" + commit + ")") + "\n";
  }
  return value == "man"        ? man_page(program, table)
         : value == "markdown" ? markdown_section(program, table)
                               : bash_completion(program, table);
}

[[noreturn]] void fail_unknown(const std::string& name, const std::vector<std::string>& names) {
  const auto near = nearest_name(name, names);
  fail(ExitCode::kUsage, "unknown option --{}{} (see --help)", name, near ? " (did you mean --" + *near + "?)" : "");
}

/// "--name=" with nothing behind it. Not left to Boost, whose message of it never ends where the name has one of its placeholders.
void check_value_follows(const std::string& argument, const std::vector<std::string>& names) {
  if (!argument.starts_with("--") || argument.find('=') != argument.size() - 1) return;
  const std::string name = argument.substr(2, argument.size() - 3);
  if (std::find(names.begin(), names.end(), name) == names.end()) fail_unknown(name, names);
  fail(ExitCode::kUsage, "--{} needs a value, and nothing follows the = (see --help)", name);
}

/// Boost's exceptions in the words of the other messages.
[[noreturn]] void translate(const po::error& error) { fail(ExitCode::kUsage, "{} (see --help)", error.what()); }

}  // namespace

CommandLine::CommandLine(const ProgramInfo& program, const OptionTable& table, int argc, const char* const* argv)
    : table_(table) {
  try {
    parse(program, argc, argv);
  } catch (const po::error& error) {
    translate(error);
  }
}

void CommandLine::parse(const ProgramInfo& program, int argc, const char* const* argv) {
  po::options_description description;
  std::vector<std::string> names;
  std::set<std::string> flags;
  for (const OptionTable* table : {&common_options(), static_cast<const OptionTable*>(&table_)}) {
    for (const auto& entry : *table) {
      names.push_back(entry.name);
      if (entry.type == OptionType::kFlag) flags.insert("--" + entry.name);
    }
  }
  for (const auto& name : names) {
    description.add(boost::make_shared<po::option_description>(name.c_str(), po::value<std::string>()));
  }

  // A flag alone is written out, since Boost would take the argument after it for its value.
  std::vector<std::string> arguments;
  bool options_end = false;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    options_end = options_end || argument == "--";
    if (!options_end && argument == "-h") argument = "--help";
    if (!options_end && flags.contains(argument)) argument += "=true";
    if (!options_end) check_value_follows(argument, names);
    arguments.push_back(std::move(argument));
  }
  // Short options are off, so that "--offset -1" gives -1 to the option; guessing is off, so that "--conf" is not "--config".
  const int style =
      po::command_line_style::allow_long | po::command_line_style::long_allow_adjacent | po::command_line_style::long_allow_next;
  const auto parsed = po::command_line_parser(arguments).options(description).style(style).allow_unregistered().run();

  for (const auto& item : parsed.options) {
    for (const auto& common : common_options()) {
      if (item.unregistered || item.string_key != common.name) continue;
      const auto text = common_text(program, table_, common, item.value.front());
      std::fputs(text.c_str(), stdout);
      flush_output();
      finished_ = true;
      return;
    }
  }
  for (const auto& item : parsed.options) {
    if (item.unregistered) {
      fail_unknown(item.string_key.substr(0, item.string_key.find('=')), names);
    }
    if (item.position_key >= 0 || item.string_key.empty()) {
      for (const auto& text : item.value) {
        if (program.positional.empty()) {
          fail(ExitCode::kUsage, "unexpected argument '{}': options are written --name value (see --help)", text);
        }
        positional_.push_back(text);
      }
      continue;
    }
    const Option& found = option(item.string_key);
    THINKREC_CHECK(!item.value.empty(), "--{} came without its value", found.name);
    const std::string& text = item.value.front();
    if (item.original_tokens.size() > 1 && text.starts_with("--")) {
      fail(ExitCode::kUsage, "--{} needs a value, and {} follows (a value that begins so is written --{}={})", found.name, text,
           found.name, text);
    }
    auto& values = given_[found.name];
    if (!values.empty() && !is_list(found.type)) fail(ExitCode::kUsage, "--{} is given more than once", found.name);
    Option element = found;  // one occurrence of a kTextList is one element, commas and all
    if (found.type == OptionType::kTextList) element.type = OptionType::kText;
    if (const auto error = validate_value(element, text)) fail(ExitCode::kUsage, "--{} {}", found.name, *error);
    values.push_back(text);
  }
}

const Option& CommandLine::option(const std::string& name) const {
  for (const auto& entry : table_) {
    if (entry.name == name) return entry;
  }
  THINKREC_CHECK(false, "no option --{} in the table", name);
}

bool CommandLine::has(const std::string& name) const { return given_.contains(option(name).name); }

std::string CommandLine::text(const std::string& name) const {
  const Option& found = option(name);
  THINKREC_CHECK(!is_list(found.type), "--{} is a list", name);
  const auto given = given_.find(name);
  return given == given_.end() ? found.default_value : given->second.front();
}

std::string CommandLine::required(const std::string& name) const {
  std::string value = text(name);
  if (value.empty()) fail(ExitCode::kUsage, "--{} is needed: {} (see --help)", name, option(name).help);
  return value;
}

std::int64_t CommandLine::integer(const std::string& name) const {
  THINKREC_CHECK(option(name).type == OptionType::kInteger, "--{} is not an integer", name);
  const auto value = parse_integer(required(name));
  THINKREC_CHECK(value, "the default of --{} is no integer", name);
  return *value;
}

double CommandLine::real(const std::string& name) const {
  const auto type = option(name).type;
  THINKREC_CHECK(type == OptionType::kReal || type == OptionType::kInteger, "--{} is not a number", name);
  const auto value = parse_real(required(name));
  if (value) return *value;
  return static_cast<double>(integer(name));  // 20_000 is an integer that parse_real does not know
}

bool CommandLine::flag(const std::string& name) const {
  THINKREC_CHECK(option(name).type == OptionType::kFlag, "--{} is not a flag", name);
  const auto written = text(name);
  const auto value = parse_flag(written);
  THINKREC_CHECK(value || written.empty(), "the default of --{} is no flag", name);
  return value.value_or(false);
}

std::vector<std::string> CommandLine::list(const std::string& name) const {
  const Option& found = option(name);
  THINKREC_CHECK(is_list(found.type), "--{} is not a list", name);
  const auto given = given_.find(name);
  if (given == given_.end()) return split_list(found.default_value);
  if (found.type == OptionType::kTextList) return given->second;
  std::vector<std::string> result;
  for (const auto& text : given->second) {
    for (auto& element : split_list(text)) result.push_back(std::move(element));
  }
  return result;
}

std::string option_help(const Option& option) { return wrapped(option.help + " " + describe(option), "      ", kHelpWidth); }

std::string help_text(const ProgramInfo& program, const OptionTable& table) {
  std::string result = program.name + ": " + program.purpose + "\n\nUsage: " + program.usage + "\n\nOptions:\n";
  for (const auto& option : table) {
    const char* value = option.type == OptionType::kFlag ? "" : is_list(option.type) ? " value ..." : " value";
    result += "  --" + option.name + value + "\n" + option_help(option);
  }
  for (const auto& option : common_options()) {
    const bool flag = option.type == OptionType::kFlag;
    result += fmt::format("  --{}{}\n", option.name, flag ? "" : " value");
    result += wrapped(option.help + (flag ? "" : " " + describe(option)), "      ", kHelpWidth);
  }
  return result;
}

}  // namespace thinkrec
