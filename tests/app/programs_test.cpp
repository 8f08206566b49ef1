#include "app/programs.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "core/option_documents.h"
#include "core/recipe_options.h"

namespace thinkrec {
namespace {

std::string error_of(const Program& program, const std::string& argument) {
  const char* arguments[] = {program.info.name.c_str(), argument.c_str(), "x"};
  try {
    read_command_line(program, 3, arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage) << error.what();
    return error.what();
  }
  return "no error";
}

std::string without_spaces(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
  return text;
}

std::string escaped(std::string text) {
  for (std::size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

TEST(Programs, AreAllNamed) {
  std::set<std::string> names;
  for (const Program* program : programs()) {
    EXPECT_TRUE(names.insert(program->info.name).second);
    EXPECT_TRUE(program->info.name.starts_with("thinkrec_"));
    EXPECT_FALSE(program->info.purpose.empty());
    EXPECT_NE(program->info.usage.find(program->info.name), std::string::npos);
  }
  EXPECT_EQ(names.size(), 11U);
}

TEST(Programs, EveryOptionIsInHelpManPageCompletionAndDocs) {
  const auto docs = options_document();
  for (const Program* program : programs()) {
    const auto help = help_text(program->info, program->options), man = man_page(program->info, program->options),
               completion = bash_completion(program->info, program->options),
               markdown = markdown_section(program->info, program->options);
    const std::string flat_help = without_spaces(help);
    EXPECT_NE(docs.find(markdown), std::string::npos) << program->info.name;
    OptionTable all = program->options;
    all.insert(all.end(), common_options().begin(), common_options().end());
    for (const auto& option : all) {
      EXPECT_FALSE(option.help.empty()) << program->info.name << " --" << option.name;
      EXPECT_NE(help.find("\n  --" + option.name + (option.type == OptionType::kFlag ? "\n" : " value")), std::string::npos)
          << option.name;
      EXPECT_NE(man.find("\n\\fB" + escaped("--" + option.name) + "\\fR"), std::string::npos) << option.name;
      EXPECT_NE(completion.find("\n    --" + option.name + ") "), std::string::npos) << option.name;
      EXPECT_NE(completion.find("--" + option.name + " ") + completion.find("--" + option.name + "'"), 2 * std::string::npos);
      EXPECT_NE(markdown.find("\n| `--" + option.name + "` | " + type_name(option.type) + " | "), std::string::npos)
          << option.name;
      if (option.default_value.empty()) continue;
      EXPECT_NE(man.find(escaped(describe(option))), std::string::npos) << "default, range and unit of --" << option.name;
      EXPECT_TRUE(option.type == OptionType::kFlag || flat_help.find(without_spaces(option.help + describe(option))) != std::string::npos)
          << "help, default, range and unit of --" << option.name;
    }
  }
}

TEST(Programs, EveryKeyOfRecipesIsInTheDocs) {
  const auto docs = options_document(), man = man_recipe(recipe_options()), help = recipe_help(recipe_options());
  const std::string flat_help = without_spaces(help), completion = bash_completion(train_program().info, train_program().options);
  for (const auto& option : recipe_options()) {
    EXPECT_FALSE(option.help.empty()) << option.name;
    EXPECT_NE(docs.find("\n| `" + option.name + "` | " + type_name(option.type) + " | "), std::string::npos) << option.name;
    EXPECT_NE(man.find("\n\\fB" + option.name + "\\fR\n"), std::string::npos) << option.name;
    EXPECT_NE(help.find("\n  " + option.name + "\n"), std::string::npos) << option.name;
    EXPECT_NE(flat_help.find(without_spaces(option.help + describe(option))), std::string::npos) << option.name;
    std::string first = option.name;
    for (std::size_t at; (at = first.find('*')) != std::string::npos;) first[at] = '0';
    EXPECT_NE(completion.find(first + "="), std::string::npos) << option.name;
  }
}

TEST(Programs, UnknownOptionsAreRefusedWithASuggestion) {
  for (const Program* program : programs()) {
    for (const auto& option : program->options) {
      const auto wrong = "--" + option.name + "x";
      EXPECT_EQ(error_of(*program, wrong), "unknown option " + wrong + " (did you mean --" + option.name + "?) (see --help)");
    }
    EXPECT_EQ(error_of(*program, "--bananas-and-cream"), "unknown option --bananas-and-cream (see --help)");
  }
}

TEST(Programs, DefaultsAreValid) {
  for (const Program* program : programs()) {
    for (const auto& option : program->options) {
      if (option.default_value.empty()) continue;
      EXPECT_FALSE(validate_value(option, option.default_value)) << program->info.name << " --" << option.name;
    }
  }
}

}  // namespace
}  // namespace thinkrec
