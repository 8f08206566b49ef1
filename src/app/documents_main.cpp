// thinkrec_documents: what is generated from the option tables of all programs. For launch/docs.sh and the install step.

#include <cstdio>
#include <filesystem>

#include "app/programs.h"
#include "core/error.h"
#include "core/option_documents.h"
#include "core/recipe_options.h"
#include "core/run_program.h"
#include "io/file.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {"thinkrec_documents",
                              "Writes man pages, bash completion and docs/options.md from the option tables.",
                              "thinkrec_documents --markdown FILE   |   thinkrec_documents --share DIR"};

OptionTable options() {
  using enum OptionType;
  return {{"markdown", kPath, "", "", "", "write the options of all programs and recipes here"},
          {"share", kPath, "", "", "", "write man pages and completion here, in the folders that belong under share/"}};
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_documents", [&] {
    const CommandLine line(kProgram, options(), argc, argv);
    if (line.finished()) return 0;
    if (!line.has("markdown") && !line.has("share")) fail(ExitCode::kUsage, "give --markdown FILE or --share DIR");
    if (line.has("markdown")) write_file_atomic(line.text("markdown"), options_document());
    if (!line.has("share")) return 0;
    const std::filesystem::path share = line.text("share"), completions = share / "bash-completion" / "completions";
    for (const auto& folder : {share / "man" / "man1", share / "man" / "man5", completions}) make_folder(folder.string());
    for (const Program* program : programs()) {
      // bash-completion looks for a file by the name of the command.
      write_file_atomic(completions / program->info.name, bash_completion(program->info, program->options));
      write_file_atomic(share / "man" / "man1" / (program->info.name + ".1"), man_page(program->info, program->options));
    }
    write_file_atomic(share / "man" / "man5" / "thinkrec_recipe.5", man_recipe(recipe_options()));
    return 0;
  });
}
