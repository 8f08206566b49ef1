#pragma once
// Every program's name and option table, without the libraries that it runs on: parser, --help and docs/options.md have one source.

#include <span>
#include <string>
#include <vector>

#include "core/command_line.h"

namespace thinkrec {

struct Program {
  ProgramInfo info;
  OptionTable options;
};

const Program& prepare_program();
const Program& synthesize_program();
const Program& train_program();
const Program& eval_program();
const Program& recommend_program();
const Program& serve_program();
const Program& export_program();
const Program& inspect_program();
const Program& check_program();
const Program& tune_program();
const Program& bench_program();

/// All of them, in the order in which a user meets them.
std::span<const Program* const> programs();

inline CommandLine read_command_line(const Program& program, int argc, const char* const* argv) {
  return CommandLine(program.info, program.options, argc, argv);
}

/// What thinkrec_train's command line changes in its recipe: --set and the options that stand for one, as name=value.
std::vector<std::string> train_sets(const CommandLine& line);

/// docs/options.md: every program's options, then the recipe's.
std::string options_document();

}  // namespace thinkrec
