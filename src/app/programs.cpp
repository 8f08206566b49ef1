#include "app/programs.h"

#include "core/option_documents.h"
#include "core/recipe_options.h"

namespace thinkrec {

std::span<const Program* const> programs() {
  static const Program* const kPrograms[] = {&prepare_program(),   &synthesize_program(), &train_program(),  &eval_program(),
                                             &recommend_program(), &serve_program(),      &export_program(), &inspect_program(),
                                             &check_program(),     &tune_program(),       &bench_program()};
  return kPrograms;
}

std::string options_document() {
  std::string text =
      "# Options\n\nWritten by `launch/docs.sh` from the tables that the programs read their command lines and recipes by. "
      "`PROGRAM --help-format\nman|markdown|completion` prints one program's share; `cmake --install` puts the man pages and the "
      "completion under `share/`.\n\n";
  for (const Program* program : programs()) text += markdown_section(program->info, program->options) + "\n";
  return text + markdown_recipe(recipe_options());
}

}  // namespace thinkrec
