#include "synthesis/journal.h"

#include <gtest/gtest.h>

#include "data/special_texts.h"
#include "support/testing.h"
#include "synthesis/failures.h"
#include "synthesis/synthesis_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::TempFolder;

TEST(Journal, GivesBackWhatItWasGiven) {
  const TempFolder folder;
  {
    Journal journal(folder.file("j"));
    std::int64_t number = 0;
    for (const char* text : kTextsThatLookSpecial) {
      ChatReply reply = says(text);
      reply.thinking = std::string(text) + "\n\"\\";
      reply.cut = number % 2 == 0;
      journal.add(fmt::format("{:032}", number++), reply);
    }
  }
  const Journal journal(folder.file("j"));
  std::int64_t number = 0;
  for (const char* text : kTextsThatLookSpecial) {
    const ChatReply* reply = journal.find(fmt::format("{:032}", number));
    ASSERT_NE(reply, nullptr);
    EXPECT_EQ(reply->text, text);
    EXPECT_EQ(reply->thinking, std::string(text) + "\n\"\\");
    EXPECT_EQ(reply->cut, number++ % 2 == 0);
  }
  EXPECT_EQ(journal.find("another"), nullptr);
}

TEST(Journal, DropsALineThatWasCutOffAnywhere) {
  const TempFolder folder;
  { Journal(folder.file("j")).add("first", says("Yes.")); }
  const std::string first = folder.read("j");
  { Journal(folder.file("j")).add("second", says("No \"because\".")); }
  const std::string both = folder.read("j");
  for (std::size_t length = first.size(); length < both.size(); ++length) {
    folder.put("j", both.substr(0, length));
    Journal journal(folder.file("j"));
    ASSERT_NE(journal.find("first"), nullptr) << length;
    ASSERT_EQ(journal.find("second"), nullptr) << length;
    journal.add("third", says("Yes."));  // what follows is whole
    EXPECT_TRUE(folder.read("j").starts_with(first + "{")) << length;
  }
}

TEST(Journal, RefusesALineThatIsNone) {
  const TempFolder folder;
  for (const char* line : {"nonsense\n", "[1]\n", "{\"key\": 7}\n", "{}\n", "{\"key\": \"a\", \"text\": {}}\n"}) {
    folder.put("j", line);
    expect_error(ExitCode::kBadData, "j:1", [&] { Journal journal(folder.file("j")); });
  }
}

TEST(Journal, IsOneProcessAtATime) {
  const TempFolder folder;
  const Journal one(folder.file("j"));
  expect_error(ExitCode::kIo, "another thinkrec_synthesize is at work", [&] { Journal two(folder.file("j")); });
}

TEST(Journal, IsGoneWhenItIsMergedOrEmpty) {
  const TempFolder folder;
  { Journal journal(folder.file("j")); }
  EXPECT_FALSE(std::filesystem::exists(folder.file("j")));
  Journal journal(folder.file("j"));
  journal.add("a", says("Yes."));
  journal.remove();
  EXPECT_FALSE(std::filesystem::exists(folder.file("j")));
}

TEST(Journal, CannotBeWhereNoFileCanBe) {
  const TempFolder folder;
  expect_error(ExitCode::kIo, "cannot be opened", [&] { Journal journal(folder.file("no/such/folder/j")); });
}

TEST(RequestKey, ChangesWithAllThatAReplyDependsOn) {
  ScriptedChat backend({});
  ChatRequest request{{{"user", "a"}}, 10, 1};
  std::set<std::string> keys = {request_key(backend, request, 1)};
  EXPECT_EQ(request_key(backend, request, 1), *keys.begin());
  keys.insert(request_key(backend, request, 2));
  for (const auto& change : std::vector<std::function<void(ChatRequest&)>>{
           [](ChatRequest& r) { r.messages[0].text = "b"; }, [](ChatRequest& r) { r.messages[0].role = "system"; },
           [](ChatRequest& r) {
             r.messages.push_back({"user", ""});
           },
           [](ChatRequest& r) { r.max_tokens = 11; }, [](ChatRequest& r) { r.sample = 2; },
           [](ChatRequest& r) {
             r.openings = {"Yes", "No"};
           }}) {
    ChatRequest other = request;
    change(other);
    keys.insert(request_key(backend, other, 1));
  }
  backend.name = "another";
  keys.insert(request_key(backend, request, 1));
  EXPECT_EQ(keys.size(), 9U);
}

TEST(Failures, AreKeptUntilTheyAreDropped) {
  const TempFolder folder;
  FailureList list(folder.file("f"));
  list.put("reason", 7, {"user \"u\"", "line\nbreak", "by"});
  list.put("keywords", 7, {"item i", "why", ""});
  list.save();
  FailureList again(folder.file("f"));
  ASSERT_NE(again.find("reason", 7), nullptr);
  EXPECT_EQ(again.find("reason", 7)->who, "user \"u\"");
  EXPECT_EQ(again.find("reason", 7)->why, "line\nbreak");
  EXPECT_EQ(again.find("reason", 7)->by, "by");
  EXPECT_EQ(again.find("reason", 8), nullptr);
  EXPECT_EQ(again.count("keywords"), 1);
  again.drop("reason", 7);
  again.drop("keywords", 7);
  again.save();
  EXPECT_FALSE(std::filesystem::exists(folder.file("f")));
  folder.put("f", "{\"what\": \"reason\"}\n");
  expect_error(ExitCode::kBadData, "f:1", [&] { FailureList bad(folder.file("f")); });
}

}  // namespace
}  // namespace thinkrec
