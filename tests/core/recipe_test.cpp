#include "core/recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/error.h"

namespace thinkrec {
namespace {

OptionTable table() {
  return {{"seed", OptionType::kInteger, "17", ">= 0", "", ""},
          {"model.path", OptionType::kPath, "", "", "", ""},
          {"model.layers", OptionType::kInteger, "", ">= 1", "", ""},
          {"activate.learning_rate", OptionType::kReal, "1e-4", "(0, 1]", "", ""},
          {"activate.phases.*.prompt", OptionType::kText, "thinkrec", "", "", ""},
          {"activate.phases.*.steps", OptionType::kInteger, "100", ">= 1", "steps", ""},
          {"activate.phases.*.train", OptionType::kTextList, "lora", "choices lora|projector|soft_prompt", "", ""},
          {"activate.phases.*.mix.reason", OptionType::kReal, "0.2", "[0, 1]", "", ""},
          {"activate.weights", OptionType::kRealList, "0.1, 0.9", ">= 0", "", ""},
          {"evaluate.splits", OptionType::kTextList, "test", "", "", ""},
          {"evaluate.deterministic", OptionType::kChoice, "off", "choices off|fast|strict", "", ""},
          {"evaluate.save", OptionType::kFlag, "true", "", "", ""},
          {"evaluate.cuts.*", OptionType::kInteger, "5", ">= 1", "", ""},
          {"log.every", OptionType::kInteger, "10", ">= 1", "steps", "", false}};
}

class RecipeTest : public testing::Test {
 protected:
  RecipeTest() {
    static int number = 0;
    folder_ = std::filesystem::temp_directory_path() / fmt::format("thinkrec_recipe_{}_{}", getpid(), number++);
    std::filesystem::create_directories(folder_ / "sub");
  }
  ~RecipeTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  Recipe load(const std::string& text, std::vector<std::string> sets = {}) const {
    return Recipe::load(write("r.yaml", text), sets, table());
  }
  /// The errors, without the folder.
  std::vector<std::string> errors(const std::string& text, std::vector<std::string> sets = {}) const {
    auto result = Recipe::validate(write("r.yaml", text), sets, table());
    for (auto& line : result) {
      for (auto at = line.find(folder_.string() + "/"); at != std::string::npos; at = line.find(folder_.string() + "/")) {
        line.erase(at, folder_.string().size() + 1);
      }
    }
    return result;
  }

  std::filesystem::path folder_;
};

constexpr const char* kGood = R"(seed: 3
model: {path: "a b.gguf", layers: 4}
activate:
  learning_rate: 0.001
  phases:
    - prompt: plain
      train: [lora, projector]
    - steps: 20_000
      mix: {reason: 0}
    - {}
  weights: [1, 2.5]
evaluate:
  splits: valid, test
  save: no
  cuts: [5, 10]
)";

TEST_F(RecipeTest, ReadsEveryType) {
  const auto recipe = load(kGood);
  EXPECT_EQ(recipe.integer("seed"), 3);
  EXPECT_EQ(recipe.text("model.path"), "a b.gguf");
  EXPECT_EQ(recipe.integer("model.layers"), 4);
  EXPECT_EQ(recipe.real("activate.learning_rate"), 0.001);
  EXPECT_EQ(recipe.real("seed"), 3.0);
  EXPECT_EQ(recipe.count("activate.phases"), 3);
  EXPECT_EQ(recipe.text("activate.phases.0.prompt"), "plain");
  EXPECT_EQ(recipe.text("activate.phases.1.prompt"), "thinkrec");
  EXPECT_EQ(recipe.integer("activate.phases.1.steps"), 20000);
  EXPECT_EQ(recipe.integer("activate.phases.2.steps"), 100);
  EXPECT_EQ(recipe.list("activate.phases.0.train"), (std::vector<std::string>{"lora", "projector"}));
  EXPECT_EQ(recipe.list("activate.phases.2.train"), (std::vector<std::string>{"lora"}));
  EXPECT_EQ(recipe.real("activate.phases.1.mix.reason"), 0.0);
  EXPECT_EQ(recipe.real_list("activate.weights"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(recipe.list("evaluate.splits"), (std::vector<std::string>{"valid", "test"}));
  EXPECT_FALSE(recipe.flag("evaluate.save"));
  EXPECT_EQ(recipe.count("evaluate.cuts"), 2);
  EXPECT_EQ(recipe.integer("evaluate.cuts.1"), 10);
  EXPECT_EQ(recipe.text("evaluate.deterministic"), "off");
  EXPECT_TRUE(recipe.given("seed"));
  EXPECT_FALSE(recipe.given("log.every"));
}

TEST_F(RecipeTest, DefaultsWithoutAFile) {
  const auto recipe = Recipe::load("", {}, table());
  EXPECT_EQ(recipe.integer("seed"), 17);
  EXPECT_EQ(recipe.count("activate.phases"), 0);
  EXPECT_EQ(recipe.text("model.path"), "");
  EXPECT_FALSE(recipe.has_value("model.layers"));
  EXPECT_TRUE(recipe.has_value("seed"));
  try {
    recipe.integer("model.layers");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kConfig);
  }
}

TEST_F(RecipeTest, SetsComeLast) {
  const auto recipe = load(kGood, {"seed=4", "activate.phases.0.steps=5", "activate.weights=[3]",
                                   "evaluate.splits=", "model.path=x=y", "seed=5", "model.layers="});
  EXPECT_EQ(recipe.integer("seed"), 5);
  EXPECT_EQ(recipe.integer("activate.phases.0.steps"), 5);
  EXPECT_EQ(recipe.real_list("activate.weights"), (std::vector<double>{3}));
  EXPECT_TRUE(recipe.list("evaluate.splits").empty());
  EXPECT_EQ(recipe.text("model.path"), "x=y");
  EXPECT_FALSE(recipe.has_value("model.layers"));
}

TEST_F(RecipeTest, BasesAreOverriddenAndListsReplaced) {
  write("base.yaml", "seed: 1\nactivate: {learning_rate: 0.5, phases: [{steps: 1}, {steps: 2, prompt: old}]}\n");
  write("sub/middle.yaml", "base: ../base.yaml\nseed: 2\n");
  const auto recipe = load("base: sub/middle.yaml\nactivate: {phases: [{steps: 7}]}\n");
  EXPECT_EQ(recipe.integer("seed"), 2);
  EXPECT_EQ(recipe.real("activate.learning_rate"), 0.5);
  EXPECT_EQ(recipe.count("activate.phases"), 1);
  EXPECT_EQ(recipe.integer("activate.phases.0.steps"), 7);
  EXPECT_EQ(recipe.text("activate.phases.0.prompt"), "thinkrec");
  EXPECT_THROW(recipe.text("activate.phases.1.prompt"), Error);
}

TEST_F(RecipeTest, BadBases) {
  EXPECT_EQ(errors("base: no.yaml\n"),
            (std::vector<std::string>{"r.yaml:1:1: base: 'no.yaml' cannot be read: No such file or directory"}));
  EXPECT_NE(errors("seed: 1\nbase: r.yaml\n").at(0).find("r.yaml:2:1: base: 'r.yaml' leads in a circle"), std::string::npos);
  EXPECT_EQ(errors("base: [a]\n").size(), 1U);
  write("bad.yaml", "\nsede: 1\n");
  EXPECT_EQ(errors("base: bad.yaml\n"), (std::vector<std::string>{"bad.yaml:2:1: unknown key 'sede' (did you mean 'seed'?)"}));
  for (int i = 0; i < 20; ++i) write(fmt::format("c{}.yaml", i), fmt::format("base: c{}.yaml\n", i + 1));
  EXPECT_EQ(errors("base: c0.yaml\n").size(), 1U);
}

TEST_F(RecipeTest, TwelvePlantedErrorsAreAllListed) {
  const char* text = R"(sed: 3
model:
  path: [a]
  layers: many
activate:
  learning_rat: 0.1
  learning_rate: 2
  phases:
    - steps: 0
      train: [lora, all]
    - prompt: a
      prompt: b
      mix: 3
  weights: [1, x]
evaluate: [1]
log: {every: }
)";
  const auto start = std::chrono::steady_clock::now();
  const auto found = errors(text, {"seed", "seed=x", "activate.phases.2.steps=1"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
  const std::vector<std::string> wanted = {
      "r.yaml:1:1: unknown key 'sed' (did you mean 'seed'?)",
      "r.yaml:3:9: model.path must be a single value [path, no default], got a list",
      "r.yaml:4:11: model.layers must be an integer, got 'many'",
      "r.yaml:6:3: unknown key 'activate.learning_rat' (did you mean 'learning_rate'?)",
      "r.yaml:7:18: activate.learning_rate must lie in (0, 1], got 2",
      "r.yaml:9:14: activate.phases.0.steps must be >= 1, got 0",
      "r.yaml:10:21: activate.phases.0.train must be one of lora, projector, soft_prompt, got 'all'",
      "r.yaml:12:7: duplicate key 'activate.phases.1.prompt' (first on line 11)",
      "r.yaml:13:12: activate.phases.1.mix must be a section (lines 'name: value')",
      "r.yaml:14:16: activate.weights must be a number, got 'x'",
      "r.yaml:15:11: evaluate must be a section (lines 'name: value')",
      "r.yaml:16:14: log.every has no value [integer >= 1, steps, default 10]",
      "--set seed: must be written name=value",
      "--set seed=x: must be an integer, got 'x'",
      "--set activate.phases.2.steps=1: '2' is no element of activate.phases, which has 2 (numbered from 0)"};
  EXPECT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) EXPECT_EQ(found[i], wanted[i]);
  try {
    load(text);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kConfig);
    const std::string message = error.what();
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 11);
  }
}

TEST_F(RecipeTest, KeysInTheWrongPlaceAreFound) {
  EXPECT_EQ(errors("learning_rate: 1\n").at(0),
            "r.yaml:1:1: unknown key 'learning_rate' (did you mean 'activate.learning_rate'?)");
  EXPECT_NE(errors("evaluate: {bananas: 1}\n").at(0).find("(known here: splits, deterministic, save, cuts)"), std::string::npos);
}

TEST_F(RecipeTest, BadSets) {
  const auto one = [&](const std::string& set) { return errors(kGood, {set}).at(0); };
  EXPECT_EQ(one("=3"), "--set =3: must be written name=value");
  EXPECT_EQ(one("activate.learning_rat=1"),
            "--set activate.learning_rat=1: unknown option 'activate.learning_rat' (did you mean 'activate.learning_rate'?)");
  EXPECT_EQ(one("actvate.weights=1"),
            "--set actvate.weights=1: unknown option 'actvate.weights' (did you mean 'activate.weights'?)");
  EXPECT_EQ(one("activate.phases.0.step=1"),
            "--set activate.phases.0.step=1: unknown option 'activate.phases.0.step' (did you mean 'activate.phases.0.steps'?)");
  EXPECT_EQ(one("model=3"), "--set model=3: model is a section, not an option");
  EXPECT_EQ(one("activate.phases=3"), "--set activate.phases=3: activate.phases is a list, not an option");
  EXPECT_NE(one("activate.phases.x.steps=3").find("'x' is no element"), std::string::npos);
  EXPECT_NE(one("activate.phases.-1.steps=3").find("'-1' is no element"), std::string::npos);
  EXPECT_NE(one("seed.x=3").find("unknown option 'seed.x'"), std::string::npos);
  EXPECT_NE(one("seed.=3").find("unknown option 'seed.'"), std::string::npos);
  EXPECT_NE(one("seed=").find("must be an integer"), std::string::npos);
}

TEST_F(RecipeTest, MissingFiles) {
  try {
    Recipe::load("/nowhere/r.yaml", {}, table());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kNoInput);
  }
  EXPECT_EQ(Recipe::validate("/nowhere/r.yaml", {}, table()).size(), 1U);
  EXPECT_THROW(Recipe::load(folder_.string(), {}, table()), Error);
}

TEST_F(RecipeTest, WrongGettersAreDefects) {
  const auto recipe = load(kGood);
  for (const std::function<void()>& wrong : std::vector<std::function<void()>>{
           [&] { recipe.text("nothing"); }, [&] { recipe.integer("activate.learning_rate"); }, [&] { recipe.text("seed"); },
           [&] { recipe.flag("seed"); }, [&] { recipe.list("activate.weights"); }, [&] { recipe.count("seed"); },
           [&] { recipe.integer("activate.phases.3.steps"); }, [&] { recipe.integer("activate.phases.*.steps"); }}) {
    try {
      wrong();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInternal);
    }
  }
}

TEST_F(RecipeTest, MalformedTablesAreDefects) {
  const auto option = [](const char* name, const char* value = "1") {
    return Option{name, OptionType::kInteger, value, ">= 1", "", ""};
  };
  for (const OptionTable& bad : std::vector<OptionTable>{{option("a"), option("a")},
                                                         {option("a"), option("a.b")},
                                                         {option("a.b"), option("a")},
                                                         {option("a.*.b"), option("a.c")},
                                                         {option("a.c"), option("a.*.b")},
                                                         {option("a", "0")},
                                                         {option("a..b")},
                                                         {option("")},
                                                         {option("*.a")},
                                                         {option("a.*.*")}}) {
    EXPECT_THROW(Recipe::load("", {}, bad), Error) << bad[0].name;
  }
}

TEST_F(RecipeTest, ResolvedIsAFixedPoint) {
  const auto recipe = load(kGood);
  const auto text = recipe.resolved();
  const auto again = load(text);
  EXPECT_EQ(again.resolved(), text);
  EXPECT_EQ(again.hash(), recipe.hash());
  EXPECT_NE(text.find("    - prompt: plain\n      steps: 100\n      train: [lora, projector]\n      mix:\n        reason: 0.2\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  learning_rate: 0.001\n"), std::string::npos);
  EXPECT_NE(text.find("  cuts:\n    - 5\n    - 10\n"), std::string::npos);
  const auto empty = Recipe::load("", {}, table());
  EXPECT_EQ(load(empty.resolved()).resolved(), empty.resolved());
  EXPECT_NE(empty.resolved().find("phases: []"), std::string::npos);
}

TEST_F(RecipeTest, ResolvedKeepsAnyText) {
  std::mt19937 random(11);
  const std::vector<std::string> pieces = {"a",    " ",    "\n",   "\"",   "\\",   "'", ": ", "#", " #",  "-",  "é",  "中", "\t",
                                           "\x01", "\x04", "\x7f", "null", "~",    "[", "}",  "%", "@",   "&a", "*a", "!",  "|",
                                           ">",    "---",  "...",  "0",    "true", ",", "\r", "😀", "\\n", "?",  "="};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (unsigned n = random() % 6; n > 0; --n) text += pieces[random() % pieces.size()];
    const std::vector<std::string> sets = {"model.path=" + text};
    const auto recipe = Recipe::load("", sets, table());
    const auto again = load(recipe.resolved());
    ASSERT_EQ(again.text("model.path"), text) << recipe.resolved();
    ASSERT_EQ(again.hash(), recipe.hash());
  }
}

TEST_F(RecipeTest, HashFollowsResultsOnly) {
  const auto recipe = load(kGood);
  EXPECT_EQ(recipe.hash().size(), 64U);
  EXPECT_EQ(load(kGood, {"log.every=3"}).hash(), recipe.hash());
  EXPECT_NE(load(kGood, {"seed=4"}).hash(), recipe.hash());
  EXPECT_EQ(load("activate: {learning_rate: 0.0001}").hash(), load("activate: {learning_rate: 1e-4}").hash());
  auto turned = table();
  std::reverse(turned.begin(), turned.end());
  EXPECT_EQ(Recipe::load(write("t.yaml", kGood), {}, turned).hash(), recipe.hash());
}

TEST_F(RecipeTest, ConflictsStandWhereTheirFirstOptionIsGiven) {
  const auto conflicts = [](const Recipe& recipe) {
    std::vector<std::string> lines;
    if (recipe.integer("seed") > 9) lines.push_back(fmt::format("seed {} is above log.every", recipe.integer("seed")));
    if (recipe.text("model.path").empty()) lines.emplace_back("model.path is not set");
    return lines;
  };
  const auto lines = [&](const std::string& text, const std::vector<std::string>& sets = {}) {
    const std::string path = write("c.yaml", text);
    std::vector<std::string> result = Recipe::validate(path, sets, table(), conflicts);
    for (std::string& line : result) {
      if (line.starts_with(path)) line.erase(0, path.size());
    }
    return result;
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines("seed: 3\nmodel: {path: m}\n"), Lines{});
  EXPECT_EQ(lines("log: {every: 2}\nseed: 12\n"), (Lines{":2:7: seed 12 is above log.every", ": model.path is not set"}));
  EXPECT_EQ(lines("log: {every: 2}\n", {"model.path=m"}), Lines{":1:14: seed 17 is above log.every"});  // a default has no place
  EXPECT_EQ(lines("", {"seed=20", "model.path=m"}), Lines{"--set seed=20: seed 20 is above log.every"});
  // Beside errors; what names an option that has one says nothing.
  EXPECT_EQ(lines("log: {every: often}\n").size(), 2U);
  EXPECT_EQ(lines("log: {every: often}\n")[1], ": model.path is not set");
  EXPECT_EQ(lines("log: {every: 2}\n", {"seed=-1"}).size(), 2U);
  EXPECT_THROW(Recipe::load(write("c.yaml", "seed: 12\n"), {}, table(), conflicts), Error);
}

TEST_F(RecipeTest, GenericNames) {
  EXPECT_EQ(generic_name("a.0.b.12"), "a.*.b.*");
  EXPECT_EQ(generic_name("a"), "a");
}

}  // namespace
}  // namespace thinkrec
