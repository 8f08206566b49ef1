#include "data/prompt.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "data/open_row.h"
#include "support/byte_tokenizer.h"

namespace thinkrec {
namespace {

using testing::ByteTokenizer;

Dataset small() {
  Dataset data;
  data.noun = {"movie", "movies"};
  data.items = {{"i0", "Alien", "Horror"}, {"i1", "Big\n Fish", ""}, {"i2", "Cube", "Sci-Fi, Horror"}};
  data.users = {"u"};
  data.user = {0, 0, 0};
  data.item = {0, 1, 2};
  data.label = {1, 0, 1};
  data.timestamp = {1, 2, 3};
  data.user_begin = {0, 3};
  data.splits = {{{0}, {1}, {2}}};
  return data;
}

PromptConfig config(const char* name) {
  PromptConfig out;
  out.template_text = prompt_template(name);
  out.features = template_has_features(out.template_text);
  return out;
}

TEST(Prompt, IsThePapersB2) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  const PromptBuilder prompts(data, tokenizer, config("thinkrec"));
  const EncodedRow row = prompts.recommendation(2);
  EXPECT_EQ(
      tokenizer.decode(row.token),
      "#Question: A user has given ratings to the following movies: \"Alien\" with feature# (evaluation: Yes) with description: Horror; "
      "\"Big Fish\" with feature# (evaluation: No). Additionally, we have information about the user's preferences encoded in the "
      "feature#. Based on the descriptions and the user's enjoyment of each movie in the historical sequence, construct a persona of the "
      "user's preferences and reevaluate whether the user would enjoy the movie titled \"Cube\" with description: Sci-Fi, Horror with the "
      "feature#. Please begin your analysis with \"Yes\" or \"No\".\n#Answer:Y");
  ASSERT_EQ(row.slots.size(), 4U);  // in text order: two items, the user, the target
  EXPECT_EQ(row.slots[0].index, 0);
  EXPECT_EQ(row.slots[1].index, 1);
  EXPECT_EQ(row.slots[2].kind, FeatureRef::Kind::kUser);
  EXPECT_EQ(row.slots[2].index, 2);
  EXPECT_EQ(row.slots[3].kind, FeatureRef::Kind::kTarget);
  EXPECT_EQ(row.slots[3].index, 2);
  EXPECT_EQ(row.slots[3].item, 2);
  EXPECT_EQ(row.answer_length(), 1);
  EXPECT_EQ(row.label, 1);
}

TEST(Prompt, ComparedMethodsListWhatWasLiked) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  PromptConfig liked = config("collm");
  liked.keywords = liked.labels = liked.disliked = liked.history_features = false;
  const PromptBuilder collm(data, tokenizer, liked);
  const EncodedRow row = collm.prompt(2);
  EXPECT_EQ(
      tokenizer.decode(row.token),
      "#Question: A user has given high ratings to the following movies: \"Alien\". Additionally, we have information about the user's "
      "preferences encoded in the feature#. Using all available information, make a prediction about whether the user would enjoy the "
      "movie titled \"Cube\" with the feature#. Please begin your answer with \"Yes\" or \"No\".\n#Answer:");
  ASSERT_EQ(row.slots.size(), 2U);
  EXPECT_EQ(row.slots[0].kind, FeatureRef::Kind::kUser);
  EXPECT_EQ(row.slots[1].kind, FeatureRef::Kind::kTarget);
  EXPECT_EQ(row.token, collm.prompt_of_whole_runs(2).token);
  liked.template_text = prompt_template("tallrec");
  liked.features = false;
  const EncodedRow alone = PromptBuilder(data, tokenizer, liked).prompt(2);
  EXPECT_TRUE(alone.slots.empty());
  EXPECT_NE(tokenizer.decode(alone.token).find("high ratings to the following movies: \"Alien\". Using all"), std::string::npos);
  liked.template_text = prompt_template("hard");
  EXPECT_NE(tokenizer.decode(PromptBuilder(data, tokenizer, liked).prompt(2).token)
                .find("gave high ratings to these movies: \"Alien\"."),
            std::string::npos);
  PromptConfig with = config("collm");
  PromptConfig without = with;
  without.history_features = false;
  EXPECT_NE(PromptBuilder(data, tokenizer, with).hash(), PromptBuilder(data, tokenizer, without).hash());
}

TEST(Prompt, AnEmptyHistoryIsAnEmptyListAndNotAnItem) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  const PromptBuilder prompts(data, tokenizer, config("thinkrec"));
  const EncodedRow row = prompts.prompt(0);
  EXPECT_EQ(row.slots.size(), 2U);
  EXPECT_NE(tokenizer.decode(row.token).find("movies: (none). Additionally"), std::string::npos);
}

TEST(Prompt, TheOldestHistoryGoesFirstAndTheQuestionNever) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  PromptConfig tight = config("text");
  tight.max_tokens = 420;
  const std::string text = tokenizer.decode(PromptBuilder(data, tokenizer, tight).prompt(2).token);
  EXPECT_LE(text.size(), 420U);
  EXPECT_EQ(text.find("Alien"), std::string::npos) << text;
  EXPECT_NE(text.find("Big Fish"), std::string::npos) << text;
  EXPECT_NE(text.find("titled \"Cube\""), std::string::npos);
  tight.max_tokens = 100;
  EXPECT_THROW(PromptBuilder(data, tokenizer, tight).prompt(2), Error);
}

TEST(Prompt, AnAnchoredHistoryMovesInSteps) {
  Dataset data = small();
  const ByteTokenizer tokenizer;
  data.item.clear();
  data.label.clear();
  data.user.clear();
  data.timestamp.clear();
  constexpr std::int64_t kRows = 14;
  for (std::int64_t i = 0; i < kRows; ++i) {
    data.item.push_back(static_cast<std::int32_t>(i % 3));
    data.label.push_back(1);
    data.user.push_back(0);
    data.timestamp.push_back(i);
  }
  data.user_begin = {0, kRows};
  PromptConfig sliding = config("text"), anchored = sliding;
  sliding.history = anchored.history = 4;
  anchored.anchored = true;
  const PromptBuilder slides(data, tokenizer, sliding), moves(data, tokenizer, anchored);
  const auto shown = [&](const PromptBuilder& prompts, std::int64_t row) {
    const std::string text = tokenizer.decode(prompts.prompt(row).token);
    std::int64_t items = 0;
    for (std::size_t at = text.find("(evaluation"); at != std::string::npos; at = text.find("(evaluation", at + 1)) ++items;
    return items;
  };
  const std::vector<std::int64_t> wanted = {0, 1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4, 3};
  for (std::int64_t row = 0; row < kRows; ++row) {
    EXPECT_EQ(shown(slides, row), std::min<std::int64_t>(row, 4));
    EXPECT_EQ(shown(moves, row), wanted[static_cast<std::size_t>(row)]) << "row " << row;
  }
  EXPECT_NE(slides.hash(), moves.hash());
}

TEST(Prompt, SettingsLeaveOutTheirParts) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  PromptConfig plain = config("text");
  plain.labels = plain.keywords = plain.disliked = false;
  const std::string text = tokenizer.decode(PromptBuilder(data, tokenizer, plain).prompt(2).token);
  for (const char* gone : {"evaluation", "description:", "Big Fish", "feature"})
    EXPECT_EQ(text.find(gone), std::string::npos) << gone;
  plain.history = 1;
  plain.disliked = true;
  EXPECT_EQ(tokenizer.decode(PromptBuilder(data, tokenizer, plain).prompt(2).token).find("Alien"), std::string::npos);
}

TEST(Prompt, ReasonsEndWithTheEndOfSentence) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  const EncodedRow row = PromptBuilder(data, tokenizer, config("text")).reason({0, "Yes. Why not.", "{}"});
  EXPECT_TRUE(row.reason);
  EXPECT_EQ(row.answer_length(), 14);
  EXPECT_EQ(row.token.back(), 257);
}

TEST(Prompt, TemplatesThatMakeNoSenseAreRefused) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  EXPECT_THROW(prompt_template("nothing"), Error);
  PromptConfig bad;
  bad.template_text = "no target";
  EXPECT_THROW(PromptBuilder(data, tokenizer, bad), Error);
  bad = config("thinkrec");
  bad.features = false;
  EXPECT_THROW(PromptBuilder(data, tokenizer, bad), Error);
}

TEST(Prompt, LearntTokensStandWhereTheirMarksDo) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  const EncodedRow soft = PromptBuilder(data, tokenizer, config("soft")).prompt(2);
  EXPECT_EQ(
      tokenizer.decode(soft.token),
      "#### \"Alien\" (evaluation: Yes) with description: Horror; \"Big Fish\" (evaluation: No) #### \"Cube\" with description: "
      "Sci-Fi, Horror ####");
  ASSERT_EQ(soft.slots.size(), 12U);
  for (std::size_t i = 0; i < soft.slots.size(); ++i) {
    EXPECT_EQ(soft.slots[i].kind, FeatureRef::Kind::kSoft);
    EXPECT_EQ(soft.slots[i].index, static_cast<std::int64_t>(i));  // each its own
  }
  EXPECT_EQ(soft_tokens(prompt_template("soft")), 12);
  EXPECT_EQ(soft_tokens(prompt_template("hard")), 0);
  const std::string hybrid = tokenizer.decode(PromptBuilder(data, tokenizer, config("hybrid")).prompt(2).token);
  EXPECT_TRUE(hybrid.starts_with("####A user gave high ratings to these movies: \"Alien\"")) << hybrid;
  const std::string hard = tokenizer.decode(PromptBuilder(data, tokenizer, config("hard")).prompt(2).token);
  EXPECT_TRUE(hard.ends_with("The answer, \"Yes\" or \"No\", is:")) << hard;
}

TEST(Prompt, MarksOfLearntTokensThatMakeNoSenseAreRefused) {
  for (const char* text : {"<Soft:>", "<Soft:0>", "<Soft:x>", "<Soft:1000>", "<Soft:-1>", "<Soft:4"})
    EXPECT_THROW(soft_tokens(text), Error) << text;
}

TEST(Prompt, HashTellsSettingsApart) {
  const Dataset data = small();
  const ByteTokenizer tokenizer;
  PromptConfig other = config("text");
  other.history = 3;
  EXPECT_NE(PromptBuilder(data, tokenizer, config("text")).hash(), PromptBuilder(data, tokenizer, other).hash());
  EXPECT_EQ(PromptBuilder(data, tokenizer, other).hash(), PromptBuilder(data, tokenizer, other).hash());
}

TEST(OpenRow, SeesTheWholeHistoryAndMovesNothingElse) {
  const Dataset data = small();
  const auto [open, row] = with_open_row(data, 0);
  EXPECT_EQ(row, 3);
  EXPECT_EQ(open.history_begin(row, 0), 0);
  EXPECT_EQ(open.user_begin.back(), 4);
  EXPECT_EQ(open.splits, data.splits);
  const ByteTokenizer tokenizer;
  const PromptBuilder prompts(open, tokenizer, config("text"));
  EXPECT_NE(tokenizer.decode(prompts.prompt_for(0, row, 1).token).find("\"Cube\" (evaluation: Yes)"), std::string::npos);
  EXPECT_THROW(with_open_row(data, 1), Error);
}

TEST(OpenRow, SeveralUsersHaveTheRowsThatEachWouldHaveAlone) {
  Dataset data;
  data.users = {"a", "b", "c"};
  data.user = {0, 1, 1, 2};
  data.item = {3, 4, 5, 6};
  data.label = {1, 0, 1, 1};
  data.timestamp = {10, 11, 12, 13};
  data.user_begin = {0, 1, 3, 4};
  data.splits = {{{0, 1}, {2}, {3}}};
  const std::vector<std::int64_t> users = {0, 2};
  const auto [open, rows] = with_open_rows(data, users);
  EXPECT_EQ(rows, (std::vector<std::int64_t>{1, 5}));
  EXPECT_EQ(open.user, (std::vector<std::int32_t>{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(open.item, (std::vector<std::int32_t>{3, 0, 4, 5, 6, 0}));
  EXPECT_EQ(open.timestamp, (std::vector<std::int64_t>{10, 10, 11, 12, 13, 13}));
  EXPECT_EQ(open.user_begin, (std::vector<std::int64_t>{0, 2, 4, 6}));
  EXPECT_EQ(open.splits[0], (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(open.splits[2], (std::vector<std::int64_t>{4}));
  const auto [alone, row] = with_open_row(data, 2);
  EXPECT_EQ(row, 4);
  EXPECT_EQ(alone.user_begin, (std::vector<std::int64_t>{0, 1, 3, 5}));
  const std::vector<std::int64_t> unsorted = {2, 0};
  EXPECT_THROW(with_open_rows(data, unsorted), Error);
}

}  // namespace
}  // namespace thinkrec
