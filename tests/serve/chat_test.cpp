#include "serve/chat.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

ChatRequest parse(const std::string& body) { return parse_chat_request(body, "body", "mine"); }

TEST(Chat, ATextAsksForTheUser) {
  const ChatRequest outside = parse(R"({"model":"mine","user":"u1","temperature":0.2,"messages":[{"role":"user","content":"What now?"}]})");
  EXPECT_FALSE(outside.json);
  EXPECT_EQ(outside.rank.user, "u1");
  EXPECT_TRUE(outside.rank.explain);
  EXPECT_EQ(outside.rank.top, 5);
  EXPECT_EQ(parse(R"({"messages":[{"role":"assistant","content":"?"},{"role":"user","content":" 42\n"}],"n":1,"stream":false})").rank.user, "42");
}

TEST(Chat, AMessageMayBeARequest) {
  const ChatRequest inside = parse(R"({"messages":[{"role":"user","content":"{\"user\":\"u2\",\"top\":3,\"candidates\":[\"a\"]}"}]})");
  EXPECT_TRUE(inside.json);
  EXPECT_EQ(inside.rank.user, "u2");
  EXPECT_EQ(inside.rank.top, 3);
  EXPECT_EQ(inside.rank.candidates, std::vector<std::string>{"a"});
  EXPECT_FALSE(inside.rank.explain);
  EXPECT_EQ(parse(R"({"user":"u1","messages":[{"role":"user","content":"{}"}]})").rank.user, "u1");
  EXPECT_EQ(parse(R"({"user":"u1","messages":[{"role":"user","content":"{\"user\":\"u2\"}"}]})").rank.user, "u2");
}

TEST(Chat, NamesWhatIsWrong) {
  const std::string message = R"("messages":[{"role":"user","content":"u"}])";
  const std::pair<std::string, std::string> cases[] = {
      {"", "not valid JSON"},
      {"{}", "'messages' is not a list"},
      {R"({"messages":{}})", "'messages' is not a list"},
      {R"({"messages":[]})", "'messages' is not a list"},
      {R"({"messages":["u"]})", "the last of 'messages'"},
      {R"({"messages":[{"role":"assistant","content":"u"}]})", "the last of 'messages'"},
      {R"({"messages":[{"role":"user"}]})", "the last of 'messages'"},
      {R"({"messages":[{"role":"user","content":7}]})", "'content' of the last message is not a text"},
      {R"({"messages":[{"role":"user","content":"  "}]})", "'user' is empty"},
      {R"({"messages":[{"role":"user","content":"{\"top\":1}"}]})", "'content' of the last message: 'user' is missing"},
      {R"({"messages":[{"role":"user","content":"{\"user\":\"u\",\"tpo\":1}"}]})", "unknown field 'tpo' (did you mean 'top'?)"},
      {R"({"messages":[{"role":"user","content":"{\"user\":"}]})", "'content' of the last message: not valid JSON"},
      {R"({"user":3,)" + message + "}", "'user' is not a text"},
      {R"({"user":")" + std::string(300, 'u') + R"(",)" + message + "}", "'user' is longer than 256 bytes"},
      {R"({"stream":true,)" + message + "}", "'stream'"},
      {R"({"n":2,)" + message + "}", "'n' is not 1"},
      {R"({"model":"gpt",)" + message + "}", "'model' is not 'mine'"},
      {R"({"model":1,)" + message + "}", "'model' is not a text"},
  };
  for (const auto& [body, words] : cases) testing::expect_error(ExitCode::kBadData, words, [&] { parse(body); });
}

TEST(Chat, WritesWhatWasAskedFor) {
  const RankReply reply{"", "u1", RankStatus::kOk, "", {{"i1", "Film A", 1, 0.731, "Yes. Why"}, {"i2", "Film B", 0, 0.5}}, "expert", {1.0}};
  ChatRequest request{{"", "u1", {}, 5, true}, false};
  EXPECT_EQ(chat_content(reply, request), "1. Film A (73 %): Yes. Why\n2. Film B (50 %)");
  request.json = true;
  EXPECT_EQ(nlohmann::json::parse(chat_content(reply, request))["items"][0]["reason"], "Yes. Why");
  EXPECT_EQ(json_line(chat_completion("x", 7, "mine", "a \"b\"")),
            R"({"id":"x","object":"chat.completion","created":7,"model":"mine","choices":[{"index":0,"message":{"role":"assistant",)"
            R"("content":"a \"b\""},"finish_reason":"stop"}]})");
}

}  // namespace
}  // namespace thinkrec
