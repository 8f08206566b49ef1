#include "core/options.h"

#include <gtest/gtest.h>

#include <random>

#include "core/error.h"

namespace thinkrec {
namespace {

Option make(OptionType type, std::string range) { return {"x", type, "", std::move(range), "", ""}; }

bool good(const Option& option, std::string_view text) { return !validate_value(option, text).has_value(); }

TEST(Options, IntegersAreExact) {
  EXPECT_EQ(parse_integer("42"), 42);
  EXPECT_EQ(parse_integer(" -7 "), -7);
  EXPECT_EQ(parse_integer("+7"), 7);
  EXPECT_EQ(parse_integer("20_000"), 20000);
  EXPECT_EQ(parse_integer("1e6"), 1000000);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  for (const char* bad : {"", "x", "1.5", "1.0", "9223372036854775808", "0x10", "1e30", "1.5e0", "1 2", "_1", "1_", "1__2", "+-1",
                          "inf", "nan", "--1"}) {
    EXPECT_FALSE(parse_integer(bad)) << bad;
  }
}

TEST(Options, RealsAreFinite) {
  EXPECT_EQ(parse_real("0.25"), 0.25);
  EXPECT_EQ(parse_real("1e-4"), 1e-4);
  EXPECT_EQ(parse_real("-.5"), -0.5);
  for (const char* bad : {"", "nan", "inf", "-inf", "1e400", "1,5", "0.5x", "+-1"}) EXPECT_FALSE(parse_real(bad)) << bad;
}

TEST(Options, Flags) {
  EXPECT_EQ(parse_flag("Yes"), true);
  EXPECT_EQ(parse_flag("off"), false);
  EXPECT_FALSE(parse_flag("maybe"));
}

TEST(Options, Lists) {
  EXPECT_EQ(split_list("a, b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(split_list(" [1,2] "), (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(split_list("").empty());
  EXPECT_TRUE(split_list("[]").empty());
  EXPECT_EQ(split_list("a,").size(), 2U);
}

TEST(Options, RangesHoldTheirEnds) {
  const auto half_open = make(OptionType::kReal, "(0, 1]");
  EXPECT_FALSE(good(half_open, "0"));
  EXPECT_TRUE(good(half_open, "1e-9"));
  EXPECT_TRUE(good(half_open, "1"));
  EXPECT_FALSE(good(half_open, "1.0000001"));
  EXPECT_EQ(*validate_value(half_open, "2"), "must lie in (0, 1], got 2");
  const auto at_least = make(OptionType::kInteger, ">= 0");
  EXPECT_TRUE(good(at_least, "0"));
  EXPECT_EQ(*validate_value(at_least, "-1"), "must be >= 0, got -1");
  EXPECT_FALSE(good(make(OptionType::kReal, "> 0"), "0"));
  EXPECT_TRUE(good(make(OptionType::kReal, "< 1"), "0.99"));
  EXPECT_FALSE(good(make(OptionType::kReal, "< 1"), "1"));
  EXPECT_TRUE(good(make(OptionType::kInteger, "[1, inf)"), "1e15"));
  EXPECT_FALSE(good(make(OptionType::kInteger, "[1, inf)"), "0"));
  const auto reals = make(OptionType::kRealList, "[0, 1]");
  EXPECT_TRUE(good(reals, "0, 0.5, 1"));
  EXPECT_FALSE(good(reals, "0, 2"));
  EXPECT_FALSE(good(reals, "0, x"));
  EXPECT_FALSE(good(reals, "0,"));
}

TEST(Options, Choices) {
  const auto option = make(OptionType::kChoice, "choices off|fast|strict");
  EXPECT_TRUE(good(option, "fast"));
  EXPECT_EQ(*validate_value(option, "fsat"), "must be one of off, fast, strict, got 'fsat' (did you mean 'fast'?)");
  EXPECT_FALSE(good(option, ""));
  const auto list = make(OptionType::kTextList, "choices q|v");
  EXPECT_TRUE(good(list, "q, v"));
  EXPECT_FALSE(good(list, "q, k"));
}

TEST(Options, WrongTypesAreNamed) {
  EXPECT_EQ(*validate_value(make(OptionType::kInteger, ""), "many"), "must be an integer, got 'many'");
  EXPECT_EQ(*validate_value(make(OptionType::kReal, ""), "nan"), "must be a number, got 'nan'");
  EXPECT_EQ(*validate_value(make(OptionType::kFlag, ""), "2"), "must be true or false, got '2'");
  EXPECT_FALSE(good(make(OptionType::kText, ""), std::string_view("a\0b", 3)));
  EXPECT_LT(validate_value(make(OptionType::kInteger, ""), std::string(100000, 'x'))->size(), 300U);
}

TEST(Options, MalformedRangesAreDefects) {
  for (const char* range : {"between 0 and 1", "(0 1]", "(0, x]", ">=", "{0, 1}"}) {
    EXPECT_THROW(validate_value(make(OptionType::kReal, range), "1"), Error) << range;
  }
  EXPECT_THROW(validate_value(make(OptionType::kText, "(0, 1)"), "1"), Error);
}

TEST(Options, NearestName) {
  const std::vector<std::string> names = {"learning_rate", "lora_rank", "steps", "seed"};
  EXPECT_EQ(nearest_name("learning_rat", names), "learning_rate");
  EXPECT_EQ(nearest_name("laerning_rate", names), "learning_rate");
  EXPECT_EQ(nearest_name("sede", names), "seed");
  EXPECT_EQ(nearest_name("step", names), "steps");
  EXPECT_FALSE(nearest_name("bananas", names));
  EXPECT_FALSE(nearest_name("", names));
  EXPECT_FALSE(nearest_name(std::string(5000, 'a'), names));
  EXPECT_EQ(suggestion("bananas", names), "");
  EXPECT_EQ(suggestion("sead", names), " (did you mean 'seed'?)");
}

TEST(Options, NearestNameFindsAnySingleTypingError) {
  std::mt19937 random(7);
  const std::vector<std::string> names = {"alpha_dropout", "expert_groups", "world_size"};
  for (int round = 0; round < 300; ++round) {
    std::string name = names[static_cast<std::size_t>(round) % names.size()];
    const std::string right = name;
    const std::size_t at = random() % (name.size() - 1);
    switch (random() % 4) {
      case 0:
        name.erase(at, 1);
        break;
      case 1:
        name.insert(at, 1, 'x');
        break;
      case 2:
        name[at] = 'z';
        break;
      default:
        std::swap(name[at], name[at + 1]);
    }
    EXPECT_EQ(nearest_name(name, names), right) << name;
  }
}

TEST(Options, Descriptions) {
  EXPECT_EQ(describe({"x", OptionType::kInteger, "20", ">= 1", "seconds", ""}), "[integer >= 1, seconds, default 20]");
  EXPECT_EQ(describe({"x", OptionType::kChoice, "off", "choices off|fast", "", ""}), "[choice: off|fast, default off]");
  EXPECT_EQ(describe({"x", OptionType::kReal, "", "(0, 1]", "", ""}), "[real in (0, 1], no default]");
}

}  // namespace
}  // namespace thinkrec
