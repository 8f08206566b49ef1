#include "core/option_documents.h"

#include <gtest/gtest.h>

namespace thinkrec {
namespace {

const ProgramInfo kProgram{"thinkrec_x", "does x - to y", "thinkrec_x FILE\n       thinkrec_x --mode fast"};

OptionTable table() {
  return {{"mode", OptionType::kChoice, "", "choices |off|fast", "", "how < exactly | or not"},
          {"steps", OptionType::kInteger, "10", ">= 1", "steps", "long * wide"},
          {"folder", OptionType::kPath, "a\\b", "", "", ".hidden"},
          {"dry-run", OptionType::kFlag, "false", "", "", "'only' this"},
          {"names", OptionType::kTextList, "", "choices a|b", "", "of\n.things\n'quoted'"},
          {"config", OptionType::kPath, "", "", "", "recipe", true, Completion::kRecipes},
          {"copy", OptionType::kText, "", "", "", "recipe", true, Completion::kRecipes},
          {"set", OptionType::kTextList, "", "", "", "key", true, Completion::kRecipeKeys}};
}

TEST(OptionDocuments, ManPagesEscapeWhatTroffWouldRead) {
  const auto page = man_page(kProgram, table());
  EXPECT_EQ(page.find(".TH THINKREC_X 1 \"\" \"thinkrec "), 0U) << page;
  for (const char* part :
       {".SH NAME\nthinkrec_x \\- does x \\- to y\n",
        ".SH SYNOPSIS\n.nf\nthinkrec_x FILE\n       thinkrec_x \\-\\-mode fast\n.fi\n",
        ".TP\n\\fB\\-\\-steps\\fR \\fIvalue\\fR\nlong * wide [integer >= 1, steps, default 10]\n",
        "\n\\&.hidden [path, default a\\eb]\n", ".TP\n\\fB\\-\\-dry\\-run\\fR\n\\&'only' this [flag, default false]\n",
        "\\fB\\-\\-names\\fR \\fIvalue\\fR ...\nof\n\\&.things\n\\&'quoted' [",
        "\\fB\\-\\-help\\fR\nPrints the options; \\-h does so too.\n", ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n64\n",
        ".SH SEE ALSO\n.BR thinkrec_recipe (5)\n"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part << "\n is missing from\n" << page;
  }
  EXPECT_EQ(man_page(kProgram, {}).find("SEE ALSO"), std::string::npos) << "a program without recipes";
}

TEST(OptionDocuments, MarkdownEscapesWhatATableWouldRead) {
  const auto text = markdown_section(kProgram, table());
  for (const char* part : {"## thinkrec_x\ndoes x - to y\n\n```sh\nthinkrec_x FILE\nthinkrec_x --mode fast\n```\n\n| option |",
                           "| `--mode` | choice |  | `off`, `fast` |  | how &lt; exactly \\| or not |\n",
                           "| `--steps` | integer | `10` | `>= 1` | steps | long \\* wide |\n", "| `--help-format` | choice |"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n is missing from\n" << text;
  }
}

TEST(OptionDocuments, CompletionKnowsWhatAValueMayBe) {
  const auto text = bash_completion(kProgram, table());
  for (const char* part :
       {"    --mode) mapfile -t COMPREPLY < <(compgen -W 'off fast' -- \"$word\"); return ;;\n", "    --steps) return ;;\n",
        "    --folder) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n",
        "    --dry-run) [[ $equals ]] && {", "    --names) mapfile -t COMPREPLY < <(compgen -W 'a b' -- \"$word\"); return ;;\n",
        "(compgen -f -- \"$word\"; compgen -W 'encoders/", "    --copy) mapfile -t COMPREPLY < <(compgen -W 'encoders/",
        "    --set) compopt -o nospace 2>/dev/null; mapfile -t COMPREPLY < <(compgen -W 'run.seed= ",
        " activate.phases.0.steps= ", "complete -F _thinkrec_x thinkrec_x\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n is missing from\n" << text;
  }
  EXPECT_EQ(text.find("compgen -f -- \"$word\"); fi"), std::string::npos) << "this program takes no files";
  ProgramInfo files = kProgram;
  files.positional = "FILE";
  EXPECT_NE(bash_completion(files, {}).find("compgen -f -- \"$word\"); fi"), std::string::npos);
}

TEST(OptionDocuments, RecipesHaveEveryKey) {
  const OptionTable keys = {{"a.b", OptionType::kReal, "1", "> 0", "s", "how"},
                            {"a.list.*.c", OptionType::kText, "", "", "", "what", false}};
  const auto man = man_recipe(keys);
  EXPECT_NE(man.find(".TP\n\\fBa.b\\fR\nhow [real > 0, s, default 1]\n"), std::string::npos) << man;
  EXPECT_NE(man.find(".SH EMBEDDED RECIPES\n.nf\nencoders/"), std::string::npos) << man;
  const auto text = markdown_recipe(keys);
  EXPECT_NE(text.find("| `a.b` | real | `1` | `> 0` | s | how |\n| `a.list.*.c` | text |  |  |  | what † |\n"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace thinkrec
