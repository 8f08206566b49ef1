#pragma once
// What else is written from an option table beside --help: man pages, Markdown and bash completion, each with every option.

#include <string>

#include "core/command_line.h"
#include "core/options.h"

namespace thinkrec {

/// --help, --version and --help-format, which every program has.
const OptionTable& common_options();

/// A program's options as a man page of section 1 (troff), a section of docs/options.md, or a completion to be sourced by bash.
std::string man_page(const ProgramInfo& program, const OptionTable& table);
std::string markdown_section(const ProgramInfo& program, const OptionTable& table);
std::string bash_completion(const ProgramInfo& program, const OptionTable& table);

/// The keys of recipes as --list-keys prints them, as the man page thinkrec_recipe(5), and as the last section of docs/options.md.
std::string recipe_help(const OptionTable& table);
std::string man_recipe(const OptionTable& table);
std::string markdown_recipe(const OptionTable& table);

}  // namespace thinkrec
