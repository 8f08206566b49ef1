#include "core/option_documents.h"

#include <algorithm>

#include "core/build_info.h"
#include "core/embedded_recipes.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/recipe_options.h"

namespace thinkrec {
namespace {

constexpr std::string_view kChoices = "choices ";

struct ExitMeaning {
  ExitCode code;
  const char* meaning;
};
constexpr ExitMeaning kExitMeanings[] = {
    {ExitCode::kOk, "done"},
    {ExitCode::kUsage, "a command line that makes no sense"},
    {ExitCode::kBadData, "an input file with something wrong in it"},
    {ExitCode::kNoInput, "an input file that is not there or cannot be read"},
    {ExitCode::kInternal, "a defect of thinkrec"},
    {ExitCode::kPeerLost, "another rank was lost or hangs"},
    {ExitCode::kIo, "writing failed"},
    {ExitCode::kStopped, "stopped on request; the same command resumes"},
    {ExitCode::kDiverged, "NaN, infinity or a diverging loss"},
    {ExitCode::kConfig, "a recipe or option with something wrong in it"},
};

/// The choices of a range, the empty one left out; none for other ranges.
std::vector<std::string> choices_of(const Option& option) {
  std::vector<std::string> result;
  if (!option.range.starts_with(kChoices)) return result;
  std::string_view rest = std::string_view(option.range).substr(kChoices.size());
  for (std::size_t at = 0; at <= rest.size();) {
    const auto bar = std::min(rest.find('|', at), rest.size());
    if (bar > at) result.emplace_back(rest.substr(at, bar - at));
    at = bar + 1;
  }
  return result;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

/// Text that troff takes as it stands: no escapes, no requests, and hyphens that can be copied as minus signs.
std::string troff(const std::string& text) {
  std::string result = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
  if (result.starts_with('.') || result.starts_with('\'')) result.insert(0, "\\&");
  return replaced(replaced(std::move(result), "\n.", "\n\\&."), "\n'", "\n\\&'");
}

std::string troff_option(const std::string& term, const Option& option) {
  const bool bare = option.type == OptionType::kFlag && option.default_value.empty();  // --help: nothing to describe
  return fmt::format(".TP\n{}\n{}{}\n", term, troff(option.help), bare ? "" : " " + troff(describe(option)));
}

std::string troff_head(const std::string& name, int section, const std::string& purpose) {
  std::string upper = name;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return fmt::format(".TH {} {} \"\" \"thinkrec {}\" \"thinkrec\"\n.SH NAME\n{} \\- {}\n", upper, section, program_version(),
                     troff(name), troff(purpose));
}

/// One cell of a Markdown table.
std::string cell(const std::string& text) { return replaced(replaced(replaced(text, "|", "\\|"), "<", "&lt;"), "*", "\\*"); }
std::string code(const std::string& text) { return text.empty() ? "" : "`" + replaced(text, "|", "\\|") + "`"; }

std::string markdown_row(const std::string& name, const Option& option) {
  std::string range;
  for (const auto& choice : choices_of(option)) range += (range.empty() ? "" : ", ") + code(choice);
  if (range.empty() && !option.range.empty()) range = code(option.range);
  return fmt::format("| {} | {} | {} | {} | {} | {} |\n", code(name), type_name(option.type), code(option.default_value), range,
                     cell(option.unit), cell(option.help));
}

std::string markdown_head(const char* first) {
  return fmt::format("| {} | type | default | range | unit | meaning |\n|---|---|---|---|---|---|\n", first);
}

/// "run.seed= activate.phases.0.steps= ..."
std::string recipe_keys() {
  std::string result;
  for (const auto& option : recipe_options()) {
    result += (result.empty() ? "" : " ") + replaced(option.name, "*", "0") + "=";
  }
  return result;
}

std::string recipe_names() {
  std::string result;
  for (const auto& recipe : embedded_recipes()) result += fmt::format("{}{}", result.empty() ? "" : " ", recipe.name);
  return result;
}

OptionTable with_common(const OptionTable& table) {
  OptionTable all = table;
  all.insert(all.end(), common_options().begin(), common_options().end());
  return all;
}

/// What bash offers as the value of an option; nothing for numbers and free text.
std::string value_completion(const Option& option) {
  const auto words = [](const std::string& list) { return fmt::format("compgen -W '{}' -- \"$word\"", list); };
  if (option.completion == Completion::kRecipeKeys)
    return "compopt -o nospace 2>/dev/null; mapfile -t COMPREPLY < <(" + words(recipe_keys()) + ")";
  std::string from = option.type == OptionType::kPath ? "compgen -f -- \"$word\"" : "";
  if (option.completion == Completion::kRecipes) from += (from.empty() ? "" : "; ") + words(recipe_names());
  if (const auto choices = choices_of(option); !choices.empty()) from = words(joined(choices, " "));
  if (option.type == OptionType::kFlag) from = words("true false");
  if (from.empty()) return from;
  return fmt::format("{}mapfile -t COMPREPLY < <({})",
                     option.type == OptionType::kPath ? "compopt -o filenames 2>/dev/null; " : "", from);
}

}  // namespace

const OptionTable& common_options() {
  using enum OptionType;
  static const OptionTable kTable = {
      {"help", kFlag, "", "", "", "Prints the options; -h does so too."},
      {"version", kFlag, "", "", "", "Prints the version."},
      {"help-format", kChoice, "", "choices man|markdown|completion", "",
       "Prints the options as a man page, in Markdown, or as bash's completion."},
  };
  return kTable;
}

std::string man_page(const ProgramInfo& program, const OptionTable& table) {
  std::string text = troff_head(program.name, 1, program.purpose) +
                     fmt::format(".SH SYNOPSIS\n.nf\n{}\n.fi\n.SH OPTIONS\n", troff(program.usage));
  bool recipe = false;
  for (const auto& option : with_common(table)) {
    const char* value = option.type == OptionType::kFlag ? "" : is_list(option.type) ? " \\fIvalue\\fR ..." : " \\fIvalue\\fR";
    text += troff_option(fmt::format("\\fB{}\\fR{}", troff("--" + option.name), value), option);
    recipe = recipe || option.completion != Completion::kDefault;
  }
  text += ".PP\nOptions are written \\-\\-name value or \\-\\-name=value, in full; lists may be repeated.\n.SH EXIT STATUS\n";
  for (const auto& [exit, meaning] : kExitMeanings) text += fmt::format(".TP\n{}\n{}\n", static_cast<int>(exit), troff(meaning));
  return recipe ? text + ".SH SEE ALSO\n.BR thinkrec_recipe (5)\n" : text;
}

std::string markdown_section(const ProgramInfo& program, const OptionTable& table) {
  std::string text = fmt::format("## {}\n{}\n\n```sh\n{}\n```\n\n{}", program.name, program.purpose,
                                 replaced(program.usage, "\n       ", "\n"), markdown_head("option"));
  for (const auto& option : with_common(table)) text += markdown_row("--" + option.name, option);
  return text;
}

std::string bash_completion(const ProgramInfo& program, const OptionTable& table) {
  std::string names, cases;
  for (const auto& option : with_common(table)) {
    names += (names.empty() ? "--" : " --") + option.name;
    // A flag takes a value after "=" alone; after a space the next option follows.
    const char* guard = option.type == OptionType::kFlag ? "[[ $equals ]] && { " : "";
    const char* end = option.type == OptionType::kFlag ? "; return; }" : "; return";
    const auto value = value_completion(option);
    cases += fmt::format("    --{}) {}{}{} ;;\n", option.name, guard, value, value.empty() ? "return" : end);
  }
  // bash breaks words at "=": --mode=fa arrives as three.
  return fmt::format(
      "# bash completion, written by {0} --help-format completion\n"
      "_{0}() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD - 1]}} equals=\n"
      "  COMPREPLY=()\n"
      "  if [[ $word == = ]]; then word= equals=1; elif [[ $option == = ]]; then option=${{COMP_WORDS[COMP_CWORD - 2]}} equals=1; fi\n"
      "  case $option in\n{1}  esac\n"
      "  [[ $equals ]] && return\n"
      "  if [[ $word == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '{2}' -- \"$word\")\n"
      "  else {3}; fi\n"
      "}}\n"
      "complete -F _{0} {0}\n",
      program.name, cases, names,
      program.positional.empty() ? "mapfile -t COMPREPLY < <(compgen -W '" + names + "' -- \"$word\")"
                                 : "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$word\")");
}

std::string recipe_help(const OptionTable& table) {
  std::string result = "Keys of recipes, and of --set name=value; * stands for the number of an element, from 0:\n";
  for (const auto& option : table) result += "  " + option.name + "\n" + option_help(option);
  return result;
}

std::string man_recipe(const OptionTable& table) {
  std::string text =
      troff_head("thinkrec_recipe", 5, "the YAML recipe of a run of thinkrec_train") + ".SH DESCRIPTION\n" +
      troff(
          "A recipe holds sections of keys; \"a.b\" below is the key b of the section a, and \"*\" an element of a list. "
          "`base: other.yaml` names a recipe whose values are taken where this one says nothing, `base: embedded:NAME` "
          "one of those inside the program. --set a.b=value overrides a key.") +
      "\n.SH KEYS\n";
  for (const auto& option : table) text += troff_option("\\fB" + troff(option.name) + "\\fR", option);
  text += ".SH EMBEDDED RECIPES\n.nf\n" + troff(list_embedded_recipes());
  return text + ".fi\n.SH SEE ALSO\n.BR thinkrec_train (1)\n";
}

std::string markdown_recipe(const OptionTable& table) {
  std::string text =
      "## Recipes\n`*` is an element of a list, counted from 0 in `--set`. Keys marked † do not change the result: a run may go on with "
      "another value.\n\n" +
      markdown_head("key");
  for (const auto& option : table) {
    Option row = option;
    if (!option.affects_result) row.help += " †";
    text += markdown_row(option.name, row);
  }
  text += "\nEmbedded recipes (`--config NAME`, `base: embedded:NAME`; `thinkrec_train --copy-recipe NAME` writes one):\n\n```\n";
  return text + list_embedded_recipes() + "```\n";
}

}  // namespace thinkrec
