// What a run will read is held to prompt.max_tokens before it begins.
#include "train/prompt_room.h"

#include "core/joined.h"
#include "core/recipe_options.h"
#include "data/prompt.h"
#include "support/byte_tokenizer.h"
#include "support/testing.h"
#include "train/calibration.h"
#include "train/recipe_phases.h"

namespace thinkrec {
namespace {

/// The text has each of these parts.
void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "'" << text << "' lacks '" << part << "'";
}

/// Three users with a row each of train, valid and test; item i2 is in the valid row alone, i3 in the test row.
Dataset small() {
  Dataset data;
  data.noun = {"movie", "movies"};
  data.items = {{"i0", "Alien", ""}, {"i1", "Big Fish", ""}, {"i2", "Cube", ""}, {"i3", "Dune", ""}};
  data.users = {"u"};
  data.user = {0, 0, 0, 0};
  data.item = {0, 1, 2, 3};
  data.label = {1, 0, 1, 0};
  data.timestamp = {1, 2, 3, 4};
  data.user_begin = {0, 4};
  data.splits = {{{0, 1}, {2}, {3}}};
  data.reasons = {{1, "No. It is long.", "{}"}};
  return data;
}

Recipe recipe(std::vector<std::string> sets) {
  sets.insert(sets.end(), {"data.path=d.h5", "activate.phases.0.template=thinkrec", "evaluate.models=untrained,global"});
  return Recipe::load("quickstart", sets, recipe_options());
}

/// Tokens of the question about an item of four letters.
std::int64_t least() {
  const Dataset data = small();
  const testing::ByteTokenizer tokenizer;
  return PromptBuilder(data, tokenizer, prompt_config(recipe({}), "thinkrec")).least_tokens(2);
}

std::string problem(const Dataset& data, std::int64_t room, const std::set<std::string>& stages = {},
                    const std::vector<std::string>& more = {}) {
  std::vector<std::string> sets = {fmt::format("prompt.max_tokens={}", room)};
  sets.insert(sets.end(), more.begin(), more.end());
  return prompt_room_problem(data, testing::ByteTokenizer(), recipe(sets), stages);
}

TEST(PromptRoom, WhatFitsByATokenIsFine) {
  Dataset data = small();
  data.reasons.clear();
  const std::int64_t room = least() + 4;  // "Big Fish" has four letters more
  EXPECT_EQ(problem(data, room), "");
  expect_parts(problem(data, room - 1),
               {"d.h5: ", "1 items and 0 reasons", fmt::format("prompt.max_tokens = {}", room - 1),
                fmt::format("item 'i1' takes {} tokens", room), "raise it, in a new --run-dir, or shorten titles and keywords"});
}

TEST(PromptRoom, AReasonCountsWithItsQuestion) {
  const Dataset data = small();
  const auto answer = static_cast<std::int64_t>(data.reasons[0].text.size()) + 1;  // and the end of the sentence
  const std::int64_t room = least() + 4 - 1 + answer;
  EXPECT_EQ(problem(data, room), "");
  expect_parts(problem(data, room - 1),
               {"0 items and 1 reasons", fmt::format("the reason of row 1 (item 'i1') takes {} tokens", room),
                "shorten reasons (thinkrec_synthesize"});
  EXPECT_EQ(problem(data, room - 1, {}, {"mix.reason_share=0"}), "");
  EXPECT_EQ(problem(data, room - 1, {"evaluate"}), "");
}

TEST(PromptRoom, RowsThatAreOnlyValidatedOrScoredCount) {
  for (const auto& [item, stage] : {std::pair{2, "activate"}, {3, "evaluate"}}) {
    Dataset data = small();
    data.items[static_cast<std::size_t>(item)].title = std::string(500, 'x');
    const std::int64_t room = least() + 200;
    const std::string name = fmt::format("item 'i{}'", item);
    expect_parts(problem(data, room), {name});
    expect_parts(problem(data, room, {stage}), {name});
    EXPECT_EQ(problem(data, room, {"encode"}), "");
  }
}

TEST(PromptRoom, OfTheValidRowsThoseThatCalibrateCount) {
  const Dataset data = small();
  const Recipe some = recipe({"evaluate.calibration_rows=5", "valid.rows=0"});
  const CalibrationRows used = calibration_rows(data, some);
  EXPECT_EQ(used.rows, std::vector<std::int64_t>{2});
  EXPECT_FALSE(used.fresh) << "the one user with valid rows has chosen the adapters";
}

TEST(PromptRoom, NamesTheFirstOfMany) {
  Dataset data = small();
  for (Item& item : data.items) item.title = std::string(900, 'x');
  for (int i = 4; i < 8; ++i) {
    data.items.push_back({fmt::format("i{}", i), std::string(900, 'x'), ""});
    data.user.push_back(0);
    data.item.push_back(i);
    data.label.push_back(1);
    data.timestamp.push_back(i + 1);
    data.splits[0].push_back(i);
  }
  data.user_begin.back() = 8;
  expect_parts(problem(data, 700), {"8 items and 1 reasons", "item 'i3' takes", ", and so on; raise it"});
}

}  // namespace
}  // namespace thinkrec
