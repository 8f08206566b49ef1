#include "core/embedded_recipes.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "core/error.h"
#include "core/recipe.h"
#include "core/recipe_options.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

const fs::path kConfigs = fs::path(THINKREC_SOURCE_DIR) / "configs";

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

/// In an empty folder of its own: nothing of the source tree can be found from there.
class EmbeddedRecipes : public testing::Test {
 protected:
  EmbeddedRecipes() : before_(fs::current_path()), folder_(fs::temp_directory_path() / fmt::format("thinkrec_emb_{}", getpid())) {
    fs::create_directories(folder_);
    fs::current_path(folder_);
  }
  ~EmbeddedRecipes() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  static std::string resolved(const std::string& path) { return Recipe::load(path, {}, recipe_options()).resolved(); }
  static std::string error_of(ExitCode code, const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    return "no error";
  }

  fs::path before_, folder_;
};

TEST_F(EmbeddedRecipes, AreThoseOfConfigs) {
  std::map<std::string, std::string> wanted;
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs)) {
    if (entry.path().extension() == ".yaml")
      wanted[fs::relative(entry.path(), kConfigs).replace_extension().string()] = read(entry.path());
  }
  std::map<std::string, std::string> found;
  std::string last;
  for (const auto& recipe : embedded_recipes()) {
    EXPECT_LT(last, recipe.name);
    found.emplace(last = recipe.name, recipe.text);
  }
  EXPECT_EQ(found, wanted);
  EXPECT_GT(found.size(), 20U);
}

TEST_F(EmbeddedRecipes, AndTheirBasesMeanWhatTheFilesMean) {
  for (const auto& recipe : embedded_recipes()) {
    const std::string name(recipe.name);
    const auto wanted = resolved(kConfigs / (name + ".yaml"));
    EXPECT_EQ(resolved("embedded:" + name), wanted) << name;
    EXPECT_EQ(resolved(name), wanted) << name;
    EXPECT_EQ(resolved(name + ".yaml"), wanted) << name;
    const auto copy = copy_embedded_recipe(name, "");
    EXPECT_EQ(copy, fs::path(name).filename().string() + ".yaml");
    EXPECT_EQ(resolved(copy), wanted) << name;
    fs::remove(copy);
  }
}

TEST_F(EmbeddedRecipes, AreFoundByTheirLastComponent) {
  EXPECT_EQ(find_embedded_recipe("tallrec"), find_embedded_recipe("recipes/tallrec"));
  EXPECT_EQ(find_embedded_recipe("embedded:tallrec.yaml")->name, "recipes/tallrec");
  for (const char* name : {"", ".yaml", "recipes/", "recipes", "allrec", "x/tallrec", "/tallrec"})
    EXPECT_EQ(find_embedded_recipe(name), nullptr) << name;
}

TEST_F(EmbeddedRecipes, AFileOfThatNameComesFirst) {
  std::ofstream("tallrec") << "run: {seed: 7}\n";
  EXPECT_EQ(Recipe::load("tallrec", {}, recipe_options()).integer("run.seed"), 7);
  fs::create_directory("quickstart");
  EXPECT_EQ(Recipe::load("quickstart", {}, recipe_options()).text("data.path"), "data/ml-100k.h5") << "a folder is no recipe";
}

TEST_F(EmbeddedRecipes, AreBasesOfFiles) {
  std::ofstream("mine.yaml") << "base: embedded:tallrec\nrun:\n  seed: 7\n";
  const auto recipe = Recipe::load("mine.yaml", {}, recipe_options());
  EXPECT_EQ(recipe.integer("run.seed"), 7);
  EXPECT_EQ(recipe.text("activate.phases.0.train"), "lora");
  std::ofstream("wrong.yaml") << "\nbase: embedded:tallrek\n";
  EXPECT_EQ(Recipe::validate("wrong.yaml", {}, recipe_options()),
            std::vector<std::string>{"wrong.yaml:2:1: base: 'embedded:tallrek' cannot be read: there is no such recipe (did you "
                                     "mean the embedded recipe 'recipes/tallrec'? --list-recipes names all)"});
}

TEST_F(EmbeddedRecipes, BasesOfEmbeddedOnesStayInside) {
  EXPECT_EQ(base_path("embedded:recipes/a.yaml", "b.yaml"), "embedded:recipes/b.yaml");
  EXPECT_EQ(base_path("embedded:a.yaml", "recipes/b.yaml"), "embedded:recipes/b.yaml");
  EXPECT_EQ(base_path("embedded:a/b.yaml", "../../c.yaml"), "embedded:../c.yaml");
  EXPECT_EQ(base_path("embedded:a/b.yaml", "/c.yaml"), "embedded:/c.yaml");
  EXPECT_EQ(base_path("a/b.yaml", "../c.yaml"), "c.yaml");
  EXPECT_EQ(base_path("a/b.yaml", "embedded:c"), "embedded:c");
}

TEST_F(EmbeddedRecipes, NamesNearlyRightAreSuggested) {
  const auto load = [](const std::string& path) {
    return error_of(ExitCode::kNoInput, [&] { Recipe::load(path, {}, recipe_options()); });
  };
  EXPECT_EQ(load("quickstrat"),
            "quickstrat: the recipe cannot be read: No such file or directory (did you mean the embedded recipe 'quickstart'? "
            "--list-recipes names all)");
  EXPECT_NE(load("configs/quickstart.yaml").find("'quickstart'"), std::string::npos) << "a path of another folder";
  const std::string remedy = " (thinkrec_train --list-recipes names those that the programs carry)";
  EXPECT_EQ(load("bananas-and-cream"), "bananas-and-cream: the recipe cannot be read: No such file or directory" + remedy);
  EXPECT_EQ(load("embedded:bananas-and-cream"),
            "embedded:bananas-and-cream: the recipe cannot be read: there is no such recipe" + remedy);
  EXPECT_EQ(Recipe::validate("quickstrat", {}, recipe_options()).size(), 1U);
}

TEST_F(EmbeddedRecipes, ErrorsNameTheEmbeddedFile) {
  const OptionTable other = {{"seed", OptionType::kInteger, "1", "", "", ""}};
  const auto errors = Recipe::validate("encoders/mf", {}, other);
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors[0].find("embedded:encoders/mf.yaml:2:1: unknown key 'encoder'"), 0U) << errors[0];
}

TEST_F(EmbeddedRecipes, TheListSaysWhatEachIs) {
  const auto list = list_embedded_recipes();
  EXPECT_NE(list.find("\nrecipes/tallrec                "), std::string::npos) << list;
  EXPECT_NE(list.find("  TALLRec (Bao et al. 2023): LoRA on the titles"), std::string::npos) << list;
  EXPECT_EQ(static_cast<std::size_t>(std::count(list.begin(), list.end(), '\n')), embedded_recipes().size());
}

TEST_F(EmbeddedRecipes, SummariesAreSentences) {
  EXPECT_EQ(recipe_summary("# A (B et al. 2023), section 4.1,\n#  and more. Not this.\n# Nor this.\nx: 1\n"),
            "A (B et al. 2023), section 4.1, and more.");
  EXPECT_EQ(recipe_summary("# One.\n#\n# Two."), "One.");
  EXPECT_EQ(recipe_summary("# No end"), "No end");
  EXPECT_EQ(recipe_summary("#"), "");
  EXPECT_EQ(recipe_summary("#\n"), "");
  EXPECT_EQ(recipe_summary("x: 1\n# A.\n"), "");
  EXPECT_EQ(recipe_summary(""), "");
}

TEST_F(EmbeddedRecipes, PortableTextChangesTheBaseAlone) {
  EXPECT_EQ(portable_text({"recipes/x", "# X.\nbase: tallrec.yaml  \nrun:\n  seed: 1"}),
            "# X.\nbase: embedded:recipes/tallrec\nrun:\n  seed: 1");
  EXPECT_EQ(portable_text({"x", "run: {}\n"}), "run: {}\n");
  EXPECT_EQ(portable_text({"encoders/x", "base: ../recipes/collm.yaml\n"}), "base: embedded:recipes/collm\n");
  EXPECT_NE(error_of(ExitCode::kInternal,
                     [] {
                       portable_text({"x", "base: y.yaml\n"});
                     })
                .find("embedded:y.yaml"),
            std::string::npos);
}

TEST_F(EmbeddedRecipes, CopiesGoNowhereElse) {
  EXPECT_EQ(copy_embedded_recipe("tallrec", "mine.yaml"), "mine.yaml");
  const auto before = read("mine.yaml");
  EXPECT_EQ(error_of(ExitCode::kUsage, [] { copy_embedded_recipe("collm", "mine.yaml"); }),
            "mine.yaml is there already; --output names another file");
  EXPECT_EQ(read("mine.yaml"), before);
  EXPECT_EQ(error_of(ExitCode::kUsage, [] { copy_embedded_recipe("tallrek", ""); }),
            "there is no embedded recipe 'tallrek' (did you mean 'recipes/tallrec'?); --list-recipes names them");
  EXPECT_EQ(error_of(ExitCode::kUsage, [] { copy_embedded_recipe("bananas-and-cream", ""); }),
            "there is no embedded recipe 'bananas-and-cream'; --list-recipes names them");
  EXPECT_EQ(error_of(ExitCode::kIo, [] { copy_embedded_recipe("tallrec", "nowhere/mine.yaml"); }),
            "nowhere/mine.yaml: the recipe cannot be written: No such file or directory");
  // A file of no bytes is the longest that may be written, as on a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit none{0, limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &none);
  EXPECT_EQ(error_of(ExitCode::kIo, [] { copy_embedded_recipe("tallrec", "full.yaml"); }),
            "full.yaml: the recipe cannot be written: File too large");
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_FALSE(fs::exists("full.yaml"));
}

}  // namespace
}  // namespace thinkrec
