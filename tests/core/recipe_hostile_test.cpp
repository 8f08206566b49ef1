// Recipes of unknown origin: whatever they hold, they are read or refused quickly, within bounds, and without a crash.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/error.h"
#include "core/recipe.h"
#include "core/recipe_yaml.h"

namespace thinkrec {
namespace {

OptionTable table() {
  return {{"seed", OptionType::kInteger, "17", ">= 0", "", ""},
          {"names", OptionType::kTextList, "", "", "", ""},
          {"phases.*.prompt", OptionType::kText, "thinkrec", "", "", ""},
          {"phases.*.steps", OptionType::kInteger, "100", ">= 1", "", ""}};
}

std::string times(const std::string& text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

std::vector<std::string> errors(const std::string& text) {
  const auto path = std::filesystem::temp_directory_path() / ("thinkrec_hostile_" + std::to_string(getpid()) + ".yaml");
  std::ofstream(path, std::ios::binary) << text;
  const auto start = std::chrono::steady_clock::now();
  auto result = Recipe::validate(path.string(), {}, table());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << text.substr(0, 60);
  std::filesystem::remove(path);
  return result;
}

bool refused_for(const std::string& text, const std::string& reason) {
  const auto found = errors(text);
  for (const auto& line : found) {
    if (line.find(reason) != std::string::npos) return true;
  }
  ADD_FAILURE() << "not refused for '" << reason << "': " << text.substr(0, 60) << "\n"
                << (found.empty() ? "no error" : found[0]);
  return false;
}

TEST(HostileRecipe, Bounds) {
  EXPECT_TRUE(refused_for(std::string(kMaxRecipeBytes + 1, ' '), "longer than"));
  EXPECT_TRUE(refused_for("names: " + times("[", 65) + times("]", 65), "nested deeper than 64"));
  EXPECT_TRUE(refused_for("names: [" + times("a, ", 100'001) + "a]", "more than 100000 values"));
  EXPECT_TRUE(refused_for("phases: [" + times("{}, ", 1001) + "]", "more than 1000 elements"));
  std::string many;
  for (int i = 0; i < 5000; ++i) many += fmt::format("k{}: 1\n", i);
  const auto found = errors(many);
  EXPECT_EQ(found.size(), 201U);
  EXPECT_NE(found.back().find("more than 200 errors"), std::string::npos);
}

TEST(HostileRecipe, AliasBombs) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const auto last = fmt::format("*a{}", i - 1);
    bomb += fmt::format("a{}: &a{} [{}{}]\n", i, i, times(last + ", ", 9), last);
  }
  EXPECT_TRUE(refused_for(bomb, "aliases expanded"));
  EXPECT_TRUE(refused_for("names: &a [*a]\n", "alias inside the node"));
  std::string deep = "a0: &a0 [x]\n";
  for (int i = 1; i < 70; ++i) deep += fmt::format("a{}: &a{} [*a{}]\n", i, i, i - 1);
  EXPECT_TRUE(refused_for(deep, "nested deeper"));
  EXPECT_TRUE(errors("phases: [&p {prompt: a, steps: 3}, *p]\n").empty()) << "small aliases are fine";
}

TEST(HostileRecipe, BadDocuments) {
  EXPECT_TRUE(refused_for("seed: [1\n", "bad YAML"));
  EXPECT_TRUE(refused_for("seed: 1\n\tb: 2\n", "bad YAML"));
  EXPECT_TRUE(refused_for("seed: *nothing\n", "bad YAML"));
  EXPECT_TRUE(refused_for("seed: 1\n---\nseed: 2\n", "second YAML document"));
  EXPECT_TRUE(refused_for("seed: !!python/object:os.system 1\n", "tags are not used"));
  EXPECT_TRUE(refused_for("? [a, b]\n: 1\n", "plain name"));
  EXPECT_TRUE(refused_for("~: 1\n", "plain name"));
  EXPECT_TRUE(refused_for("seed: 1\nnames: \x04\nseed: 2\n", "control character (0x04)"));
  EXPECT_TRUE(refused_for(std::string("seed: 1\n\0names: 2\n", 18), "control character (0x00)"));
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8", "\xfe\xff\x00s"}) {
    EXPECT_TRUE(refused_for(std::string("names: ") + bad, "not UTF-8"));
  }
  EXPECT_TRUE(refused_for("- 1\n", "must be a section"));
  EXPECT_TRUE(refused_for("text\n", "must be a section"));
  EXPECT_TRUE(errors("").empty());
  EXPECT_TRUE(errors("# nothing\n").empty());
  EXPECT_TRUE(errors("---\nseed: 1\n...\n").empty());
}

// A run writes its recipe with the sets into its folder, and reads it again when it is resumed.
TEST(HostileRecipe, SetsAreWrittenAndReadAgain) {
  for (const char* bad : {"names=\xff", "names=caf\xe9", "names=\xed\xa0\x80", "names=\xe2\x82"}) {
    const std::vector<std::string> sets = {bad};
    const auto found = Recipe::validate("", sets, table());
    ASSERT_EQ(found.size(), 1U);
    EXPECT_NE(found[0].find("must be UTF-8"), std::string::npos) << found[0];
  }
  for (const char* good :
       {"names=caf\u00e9", "names=\u0085\u2028\ufeff", "names=\x01\x1b\x7f", "names=a: b\n- c\t#", "names=\U0010ffff"}) {
    const std::vector<std::string> sets = {good};
    const Recipe recipe = Recipe::load("", sets, table());
    EXPECT_TRUE(errors(recipe.resolved()).empty()) << good;
  }
}

TEST(HostileRecipe, LongRunsOfOneCharacter) {
  for (const char* piece :
       {"[", "{", "- ", "? ", "&a ", "!", "'", "\"", "a: ", "{a: ", "%", "|\n", "*a ", "a,", ": ", "\n- ", "#", "\\", "--- "}) {
    errors(times(piece, 20'000));
    errors("names: " + times(piece, 20'000));
  }
}

TEST(HostileRecipe, RandomDamage) {
  const std::string good =
      "seed: 3\nnames: [a, 'b', \"c\\n\"]\nphases:\n  - prompt: |\n      text\n    steps: 3\n  - &x {steps: 4}\n  - *x\n";
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (unsigned n = 1 + random() % 4; n > 0; --n) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, 1 + random() % 5);
          break;
        default:
          text.insert(at, good.substr(random() % good.size(), random() % 8));
      }
      if (text.empty()) text.push_back('x');
    }
    for (const auto& line : errors(text)) {
      EXPECT_FALSE(line.empty());
      EXPECT_EQ(line.find('\n'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace thinkrec
