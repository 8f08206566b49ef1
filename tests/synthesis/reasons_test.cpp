#include "synthesis/reasons.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "data/special_texts.h"
#include "support/testing.h"
#include "synthesis/keywords.h"
#include "synthesis/prompts.h"
#include "synthesis/synthesis_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::TempFolder;

/// Journal and list of failures of a test.
struct Files {
  TempFolder folder;
  Journal journal{folder.file("j")};
  FailureList failures{folder.file("f")};
};

bool liked(const ChatRequest& request) { return request.sample % 2 == 1; }  // as films() has it
bool is_first_turn(const ChatRequest& request) { return request.messages.size() == 2; }

ReasonReport make(Dataset& data, ChatBackend& backend, Files& files, const ReasonConfig& config) {
  return synthesize_reasons(data, backend, files.journal, files.failures, config, [](const ReasonReport&) {});
}

TEST(Prompts, AreThePapersB3) {
  const Dataset data = films();
  const auto first = first_turn(data, 19, 2);
  EXPECT_EQ(
      first[1].text,
      "A user has given ratings to the following films: \"Film 17\", liked; \"Film 18\", disliked. Using all available information, make "
      "a prediction about whether the user would enjoy the film titled \"Film 19\"?");
  EXPECT_EQ(
      reflect_turn(data, 19, 0).text,
      "The correct response is Yes. Reflect on multiple aspects based on historical information and explain the reason for the "
      "oversight based on the previous analysis. Reanalyze to make a prediction about whether the user would enjoy the film titled "
      "\"Film 19\"? Begin with \"Yes\".");
  EXPECT_EQ(
      reflect_turn(data, 2, 1).text,
      "The accurate answer is No. Delve into various aspects considering historical data, elucidate the cause of the oversight "
      "according to the preceding analysis. Conduct a reanalysis to forecast whether the user will take pleasure in the film named "
      "\"Film 2\" (drama)? Begin with \"No\".");
  EXPECT_EQ(
      reflect_turn(data, 2, 5).text,
      "The right response is No. Reflect on a variety of aspects with reference to historical information, and account for the "
      "oversight based on the earlier analysis. Reanalyze to determine whether the user would appreciate the film titled \"Film 2\" "
      "(drama)? Begin with \"No\".");
}

TEST(Prompts, OpeningsNameWhatIsMostAlikeInTheHistory) {
  Dataset data = films();
  data.items[19].keywords = "war, crime";
  data.items[15].keywords = "crime,  war, , drama";
  data.items[13].keywords = "crime";
  using Texts = std::vector<std::string>;
  EXPECT_EQ(verdict_openings(data, 19, 10),
            (Texts{"Yes, because like \"Film 15\" and \"Film 13\", which the user liked, \"Film 19\" is a",
                   "No, because like \"Film 18\" and \"Film 16\", which the user disliked, \"Film 19\" is a"}))
      << "most keywords first, then the latest";
  EXPECT_EQ(verdict_openings(data, 19, 1),
            (Texts{"Yes, because \"Film 19\" is a", "No, because like \"Film 18\", which the user disliked, \"Film 19\" is a"}));
  data.item[18] = 19;
  EXPECT_EQ(verdict_openings(data, 19, 1)[1], "No, because \"Film 19\" is a") << "it is not like itself";
}

TEST(Prompts, AreThePapersB1) {
  const Dataset data = films();
  const std::string instruction =
      "\n\nYour task is to extract up to ten keywords from the given profile of the film above. Answers should contain only keywords, which "
      "should be separated by commas.\n\nKeywords:";
  EXPECT_EQ(keyword_prompt(data, 20)[0].text, "Title: Film 20.\nCategory: War." + instruction);
  EXPECT_EQ(keyword_prompt(data, 3)[0].text, "Title: Film 3.\nCategory: drama" + instruction);
  EXPECT_EQ(keyword_prompt(data, 15)[0].text, "Title: Film 15." + instruction);
}

TEST(Reasons, AreKeptWhenTheVerdictIsRight) {
  Dataset data = films();
  Files files;
  ScriptedChat backend(
      [](const ChatRequest& r) { return says(liked(r) ? "Yes. They like films such as it." : "No. They do not."); });
  ReasonConfig config;
  config.rows = 6;
  config.seed = 3;
  const ReasonReport report = make(data, backend, files, config);
  EXPECT_EQ(report.accepted, (std::vector<std::int64_t>{6, 0, 0, 0}));
  ASSERT_EQ(data.reasons.size(), 6U);
  EXPECT_EQ(backend.asked.size(), 6U);
  std::set<std::int64_t> rows;
  for (const Reason& reason : data.reasons) {
    rows.insert(reason.row);
    EXPECT_GT(reason.row, 0);  // row 0 has no history
    EXPECT_EQ(reason.text, reason.row % 2 == 1 ? "Yes. They like films such as it." : "No. They do not.");
    const auto provenance = nlohmann::json::parse(reason.provenance);
    EXPECT_EQ(provenance["model"], "a-model");
    EXPECT_EQ(provenance["turns"], 1);
    EXPECT_EQ(provenance["seed"], 3);
    EXPECT_EQ(provenance["prompt"].get<std::string>().size(), 16U);
  }
  EXPECT_EQ(rows.size(), 6U);
  data.check("films");
  // Again: nothing is missing.
  EXPECT_EQ(make(data, backend, files, config).had, 6);
  EXPECT_EQ(backend.asked.size(), 6U);
}

TEST(Reasons, OnRequestAllKnowTheAnswer) {
  Dataset data = films();
  Files files;
  std::map<std::uint64_t, int> turns;
  ScriptedChat backend([&](const ChatRequest& r) {
    const std::string turn = ++turns[r.sample] == 1 ? "At once, and right." : "It was told, and is right.";
    return says((liked(r) ? "Yes. " : "No. ") + turn);
  });
  ReasonConfig config;
  config.rows = 4;
  config.reveal = true;
  EXPECT_EQ(make(data, backend, files, config).accepted, (std::vector<std::int64_t>{0, 4, 0, 0}));
  for (const Reason& reason : data.reasons) EXPECT_NE(reason.text.find("It was told"), std::string::npos) << reason.text;
  EXPECT_EQ(backend.asked.size(), 8U);
}

TEST(Reasons, AreAskedForAgainWithTheAnswerRevealed) {
  Dataset data = films();
  Files files;
  std::map<std::uint64_t, int> turns;
  ScriptedChat backend([&](const ChatRequest& r) {
    if (++turns[r.sample] < 3) return says(liked(r) ? "No. Wrong." : "Yes. Wrong.");
    return says(liked(r) ? "Yes. The third time." : "No. The third time.");
  });
  ReasonConfig config;
  config.rows = 1;
  const ReasonReport report = make(data, backend, files, config);
  EXPECT_EQ(report.accepted, (std::vector<std::int64_t>{0, 0, 1, 0}));
  ASSERT_EQ(backend.asked.size(), 3U);
  const auto &second = backend.asked[1].messages, &third = backend.asked[2].messages;
  ASSERT_EQ(second.size(), 4U);
  EXPECT_EQ(second[2].role, "assistant");
  EXPECT_EQ(second[2].text, liked(backend.asked[0]) ? "No. Wrong." : "Yes. Wrong.");
  EXPECT_TRUE(
      second[3].text.starts_with(liked(backend.asked[0]) ? "The correct response is Yes." : "The correct response is No."));
  ASSERT_EQ(third.size(), 4U);  // the reflect turn takes the place of the one before
  EXPECT_EQ(third[2].text, second[2].text);
  EXPECT_TRUE(third[3].text.starts_with("The accurate answer is"));
  EXPECT_EQ(nlohmann::json::parse(data.reasons[0].provenance)["turns"], 3);
}

TEST(Reasons, ARowFailsAfterItsTurnsAndIsListed) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest& r) {
    return says(r.sample < 10 ? "Nothing of the kind" : liked(r) ? "Yes. It is so." : "No. It is so.");
  });
  ReasonConfig config;
  config.rows = 19;
  config.turns = 2;
  const ReasonReport report = make(data, backend, files, config);
  EXPECT_EQ(report.failed, 9);
  EXPECT_EQ(data.reasons.size(), 10U);
  EXPECT_EQ(files.failures.count("reason"), 9);
  ASSERT_NE(files.failures.find("reason", 4), nullptr);
  EXPECT_EQ(files.failures.find("reason", 4)->who, "user u, item i4");
  EXPECT_EQ(files.failures.find("reason", 4)->why, "the last reply states no verdict, after 2 turns");

  // The same model is not asked about them again, unless told to; another one is.
  const std::size_t before = backend.asked.size();
  EXPECT_EQ(make(data, backend, files, config).skipped, 9);
  EXPECT_EQ(backend.asked.size(), before);
  files.journal.remove();
  config.retry_failed = true;
  EXPECT_EQ(make(data, backend, files, config).failed, 9);
  EXPECT_EQ(backend.asked.size(), before + 18);
  config.retry_failed = false;
  ScriptedChat other([](const ChatRequest& r) { return says(liked(r) ? "Yes. I know." : "No. I know."); });
  other.name = "another";
  EXPECT_EQ(make(data, other, files, config).accepted[0], 9);
  EXPECT_EQ(files.failures.count("reason"), 0);
}

TEST(Reasons, SayWhyARowFailed) {
  for (const auto& [reply, bounds, thinking, why] : {std::tuple("Maybe.", ReasonBounds{}, false, "states no verdict"),
                                                     std::tuple("WRONG", ReasonBounds{}, false, "the last verdict is wrong"),
                                                     std::tuple("RIGHT", ReasonBounds{9, 0}, false, "empty or out of bounds"),
                                                     std::tuple("RIGHT", ReasonBounds{}, true, "without thinking")}) {
    Dataset data = films();
    Files files;
    ScriptedChat backend([&](const ChatRequest& r) {
      const std::string text = reply;
      if (text == "Maybe.") return says(text);
      return says((text == "RIGHT") == liked(r) ? "Yes. Indeed." : "No. Indeed.");
    });
    ReasonConfig config;
    config.rows = 1;
    config.turns = 1;
    config.bounds = bounds;
    config.thinking = thinking;
    config.from = {5};
    EXPECT_EQ(make(data, backend, files, config).failed, 1);
    ASSERT_NE(files.failures.find("reason", 5), nullptr);
    EXPECT_NE(files.failures.find("reason", 5)->why.find(why), std::string::npos) << files.failures.find("reason", 5)->why;
  }
}

TEST(Reasons, StoreTheThinkingWhenAsked) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest& r) {
    return says(fmt::format("<think>Okay, let's see.\nThey like war. So it is.</think>{}", liked(r) ? "Yes" : "No"));
  });
  ReasonConfig config;
  config.rows = 1;
  config.thinking = true;
  config.from = {5};
  make(data, backend, files, config);
  ASSERT_EQ(data.reasons.size(), 1U);
  EXPECT_EQ(data.reasons[0].text, "Yes. Okay, let's see. They like war. So it is.");
  EXPECT_EQ(nlohmann::json::parse(data.reasons[0].provenance)["thinking"], true);
}

TEST(Reasons, ThinkingThatUsedUpTheReplyGetsMoreRoom) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest& r) {
    ChatReply reply = says(r.max_tokens < 400 ? "" : "Yes. At last.");
    reply.cut = reply.text.empty();
    return reply;
  });
  ReasonConfig config;
  config.rows = 1;
  config.max_tokens = 100;
  config.from = {5};
  EXPECT_EQ(make(data, backend, files, config).accepted, (std::vector<std::int64_t>{0, 0, 1, 0}));
  for (const ChatRequest& request : backend.asked) EXPECT_TRUE(is_first_turn(request));
  EXPECT_EQ(backend.asked.back().max_tokens, 400);
}

TEST(Reasons, AnEmptyReplyIsAnsweredByTheOtherVerdict) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest& r) { return says(is_first_turn(r) ? "" : "Yes. After all."); });
  ReasonConfig config;
  config.rows = 1;
  config.from = {5};
  EXPECT_EQ(make(data, backend, files, config).accepted[1], 1);
  EXPECT_EQ(backend.asked[1].messages[2].text, "No");
}

TEST(Reasons, WhatGotNoAnswerIsAskedAgainNextTime) {
  Dataset data = films();
  Files files;
  bool up = false;
  ScriptedChat backend([&](const ChatRequest& r) {
    if (!up && r.sample % 4 == 1) return fails(ChatFailure::kMalformed, "the answer is no chat completion");
    return says(liked(r) ? "Yes. It is so." : "No. It is so.");
  });
  ReasonConfig config;
  config.rows = 19;
  EXPECT_EQ(make(data, backend, files, config).unanswered, 5);
  EXPECT_EQ(files.failures.count("reason"), 5);
  EXPECT_EQ(files.failures.find("reason", 5)->why, "the answer is no chat completion");
  up = true;
  EXPECT_EQ(make(data, backend, files, config).accepted[0], 5);
  EXPECT_EQ(files.failures.count("reason"), 0);
  EXPECT_EQ(data.reasons.size(), 19U);
}

TEST(Reasons, EndWhenNobodyAnswers) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest&) { return fails(ChatFailure::kUnreachable, "HTTP 500"); });
  expect_error(ExitCode::kIo, "none of 4 questions was answered (HTTP 500)", [&] { make(data, backend, files, {}); });
  EXPECT_EQ(files.failures.count("reason"), 4);
}

TEST(Reasons, EndWhenWhatAnswersIsNoEndpoint) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest&) { return fails(ChatFailure::kMalformed, "the answer is no chat completion"); });
  expect_error(ExitCode::kIo, "none of 4 questions was answered (the answer is no chat completion)",
               [&] { make(data, backend, files, {}); });
}

/// The last reason that is missing is asked for alone: a question that nobody can answer is passed over, three in a row are no chance.
TEST(Reasons, OneQuestionWithoutAnswerIsPassedOver) {
  for (const int bad : {2, 3}) {
    Dataset data = films();
    Files files;
    int left = bad;
    ScriptedChat backend([&](const ChatRequest& r) {
      if (left-- > 0) return fails(ChatFailure::kUnreachable, "HTTP 504");
      return says(liked(r) ? "Yes. It is so." : "No. It is so.");
    });
    ReasonConfig config;
    config.rows = 1;
    if (bad == 2) {
      EXPECT_EQ(make(data, backend, files, config).unanswered, 2);
      EXPECT_EQ(data.reasons.size(), 1U);
    } else {
      expect_error(ExitCode::kIo, "none of 1 questions was answered (HTTP 504)", [&] { make(data, backend, files, config); });
    }
  }
}

TEST(Reasons, NothingIsAskedTwiceAfterACrash) {
  // A backend that dies after n replies, for every n until it need not die; the journal alone is left.
  for (std::int64_t lives = 0;; ++lives) {
    ASSERT_LT(lives, 200);
    const TempFolder folder;
    std::set<std::string> answered;
    std::int64_t left = lives;
    bool died = false;
    const auto script = [&](const ChatRequest& r) {
      if (left-- == 0) throw std::runtime_error("killed");
      const std::string key = fmt::format("{} {}", r.sample, r.messages.size());
      EXPECT_TRUE(answered.insert(key).second) << key << " was asked twice";
      return says(is_first_turn(r) && r.sample % 3 == 0 ? "Not yet" : liked(r) ? "Yes. It is so." : "No. It is so.");
    };
    for (int run = 0; run < 2; ++run) {
      Dataset data = films();
      Journal journal(folder.file("j"));
      FailureList failures(folder.file("f"));
      ScriptedChat backend(script);
      ReasonConfig config;
      config.rows = 10;
      try {
        const auto report = synthesize_reasons(data, backend, journal, failures, config, [](const ReasonReport&) {});
        EXPECT_EQ(data.reasons.size(), 10U);
        EXPECT_EQ(report.from_journal, run == 0 ? 0 : lives);
        break;
      } catch (const std::runtime_error&) {
        died = true;
        left = 1000;
      }
    }
    if (!died) break;
  }
}

TEST(WrongRows, AreTheOnesOnTheWrongSideOfTheThreshold) {
  const Dataset data = films();
  const TempFolder folder;
  const auto file = [&](const std::string& rows) { return folder.put("s.csv", "row,user,item,label,global\n" + rows); };
  EXPECT_EQ(wrong_rows(data, file("1,u,i1,1,-0.5\n2,u,i2,0,-1\n3,u,i3,1,2\n4,u,i4,0,0.1\n"), 0),
            (std::vector<std::int64_t>{1, 4}));
  EXPECT_EQ(wrong_rows(data, file("1,u,i1,1,0.2\n4,u,i4,0,0.2\n") + ":global", 0.2), (std::vector<std::int64_t>{1}));
  expect_error(ExitCode::kBadData, "no row is scored wrongly", [&] { wrong_rows(data, file("1,u,i1,1,1\n"), 0); });
  expect_error(ExitCode::kBadData, "row 20 is no train row", [&] { wrong_rows(data, file("20,u,i20,0,1\n"), 0); });
  expect_error(ExitCode::kBadData, "row 1 has another user or label", [&] { wrong_rows(data, file("1,u,i1,0,1\n"), 0); });
  expect_error(ExitCode::kBadData, "row 1 has another user or label", [&] { wrong_rows(data, file("1,v,i1,1,1\n"), 0); });
}

TEST(WrongRows, AreChosenFrom) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest& r) { return says(liked(r) ? "Yes. It is so." : "No. It is so."); });
  ReasonConfig config;
  config.rows = 5;
  config.from = {7, 11, 12};
  make(data, backend, files, config);
  std::set<std::int64_t> rows;
  for (const Reason& reason : data.reasons) rows.insert(reason.row);
  EXPECT_EQ(rows, (std::set<std::int64_t>{7, 11, 12}));
}

TEST(References, AreOfRowsWithAFullHistoryAndComeBack) {
  const Dataset data = films();
  EXPECT_EQ(rows_with_history(data, Split::kTest, 21), (std::vector<std::int64_t>{21}));
  EXPECT_EQ(rows_with_history(data, Split::kTrain, 18), (std::vector<std::int64_t>{18, 19}));
  expect_error(ExitCode::kBadData, "no row of the split 'test' has a history of 22 items",
               [&] { rows_with_history(data, Split::kTest, 22); });
  const TempFolder folder;
  EXPECT_TRUE(read_references(folder.file("r"), data, Split::kTest).empty());
  write_references(folder.file("r"), std::vector<Reason>{{21, "Yes. \"So\" it is.", "{\"model\":\"m\"}"}});
  const auto back = read_references(folder.file("r"), data, Split::kTest);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].row, 21);
  EXPECT_EQ(back[0].text, "Yes. \"So\" it is.");
  EXPECT_EQ(back[0].provenance, "{\"model\":\"m\"}");
  const std::string line = "{\"row\": 21, \"reference\": \"Yes.\", \"source\": \"\"}\n";
  for (const auto& [content, wrong] : std::vector<std::pair<std::string, std::string>>{
           {"{\"row\": 22, \"reference\": \"Yes.\", \"source\": \"\"}\n", ":1: row 22 is not of the split 'test'"},
           {"{\"row\": 18, \"reference\": \"Yes.\", \"source\": \"\"}\n", ":1: row 18 is not of the split 'test'"},
           {line + line, ":2: row 21 is there twice"},
           {"{\"row\": 21, \"reference\": \"\", \"source\": \"\"}\n", ":1: the reference of row 21 is empty"}}) {
    folder.put("r", content);
    expect_error(ExitCode::kBadData, wrong, [&] { read_references(folder.file("r"), data, Split::kTest); });
  }
}

KeywordReport keywords(Dataset& data, ChatBackend& backend, Files& files, const KeywordConfig& config = {}) {
  return synthesize_keywords(data, backend, files.journal, files.failures, config, [](const KeywordReport&) {});
}

TEST(SynthesizedKeywords, GoToItemsWithoutAny) {
  Dataset data = films();
  Files files;
  bool up = false;
  ScriptedChat backend([&](const ChatRequest& r) {
    if (!up && r.sample == 12) return fails(ChatFailure::kTooLarge, "too long");
    if (!up && r.sample == 13) return says("1, 2, 3");
    return says("Keywords: War, the 1940s, Tank Battle");
  });
  KeywordReport report = keywords(data, backend, files);
  EXPECT_EQ(report.had, 11);
  EXPECT_EQ(report.made, 9);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.unanswered, 1);
  EXPECT_EQ(data.items[3].keywords, "drama");
  EXPECT_EQ(data.items[15].keywords, "war, tank battle");
  EXPECT_EQ(data.items[12].keywords, "");
  EXPECT_EQ(files.failures.find("keywords", 12)->why, "too long");
  EXPECT_EQ(files.failures.find("keywords", 13)->who, "item i13");
  up = true;
  files.journal.remove();  // as a run does at its end
  report = keywords(data, backend, files);
  EXPECT_EQ(report.asked, 2);
  EXPECT_EQ(data.items[12].keywords, "war, tank battle");
  EXPECT_EQ(files.failures.count("keywords"), 0);
}

TEST(SynthesizedKeywords, ReplaceThoseThereAreWhenAsked) {
  Dataset data = films();
  Files files;
  ScriptedChat backend([](const ChatRequest&) { return says("new one"); });
  KeywordConfig config;
  config.again = true;
  config.items = 5;
  EXPECT_EQ(keywords(data, backend, files, config).made, 5);
  EXPECT_EQ(data.items[4].keywords, "new one");
  EXPECT_EQ(data.items[5].keywords, "drama");
}

TEST(Replies, ThatLookSpecialArePlainText) {
  for (const char* text : kTextsThatLookSpecial) {
    Dataset data = films();
    Files files;
    ScriptedChat backend([&](const ChatRequest& r) { return says(fmt::format("{}. {}", liked(r) ? "Yes" : "No", text)); });
    ReasonConfig config;
    config.rows = 1;
    config.from = {5};
    make(data, backend, files, config);
    ASSERT_EQ(data.reasons.size(), 1U) << text;
    EXPECT_EQ(data.reasons[0].text, clean_reason(std::string("Yes. ") + text, true));
    const std::string path = files.folder.file("d.h5");
    save_dataset(data, path);
    EXPECT_EQ(load_dataset(path).reasons[0].text, data.reasons[0].text);
    for (const auto& entry : std::filesystem::directory_iterator(files.folder.path()))  // and no file is named by it
      EXPECT_TRUE(entry.path().filename() == "d.h5" || entry.path().filename() == "j") << entry.path();
  }
}

}  // namespace
}  // namespace thinkrec
