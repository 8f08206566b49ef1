#include "serve/ranking.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace thinkrec {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_rank_request(text, "body");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    return error.what();
  }
  return "none";
}

TEST(Ranking, ReadsARequest) {
  const RankRequest all = parse_rank_request(R"({"id":"7","user":"u1","candidates":["a","b"],"top":3,"explain":true})", "body");
  EXPECT_EQ(all.id, "7");
  EXPECT_EQ(all.user, "u1");
  EXPECT_EQ(all.candidates, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(all.top, 3);
  EXPECT_TRUE(all.explain);
  const RankRequest least = parse_rank_request(R"({"user":"u1"})", "body");
  EXPECT_TRUE(least.id.empty() && least.candidates.empty() && least.top == 5 && !least.explain);
}

TEST(Ranking, BoundsWhatIsExplained) {
  RankLimits limits;
  limits.reasons = 2;
  EXPECT_EQ(parse_rank_request(R"({"user":"u1","top":2,"explain":true})", "body", limits).top, 2);
  EXPECT_EQ(parse_rank_request(R"({"user":"u1","top":3})", "body", limits).top, 3);
  EXPECT_EQ(parse_rank_request(R"({"user":"u1","explain":true})", "body", limits).top, 2);
  EXPECT_EQ(parse_rank_request(R"({"user":"u1","candidates":["a","b"],"top":9,"explain":true})", "body", limits).top, 9);
  try {
    parse_rank_request(R"({"user":"u1","top":3,"explain":true})", "body", limits);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "body: 'top' is 3, and 'explain' is for at most 2 items");
  }
}

TEST(Ranking, NamesTheField) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "body: not valid JSON"},
      {"[]", "body: not a JSON object"},
      {"{}", "'user' is missing"},
      {R"({"user":1})", "'user' is not a text"},
      {R"({"user":""})", "'user' is empty"},
      {R"({"user":null})", "'user' is not a text"},
      {R"({"user":")" + std::string(257, 'u') + "\"}", "'user' is longer than 256 bytes"},
      {R"({"user":"u","usr":1})", "unknown field 'usr' (did you mean 'user'?)"},
      {R"({"user":"u",")" + std::string(9999, 'k') + R"(":1})", "unknown field of 9999 bytes"},
      {R"({"user":"u","user":"v"})", "there twice"},
      {R"({"user":"u","id":7})", "'id' is not a text"},
      {R"({"user":"u","candidates":"a"})", "'candidates' is not a list"},
      {R"({"user":"u","candidates":["a",3]})", "'candidates[1]' is not a text"},
      {R"({"user":"u","top":0})", "'top' is not an integer in [1, 1000]"},
      {R"({"user":"u","top":-1})", "'top'"},
      {R"({"user":"u","top":1001})", "'top'"},
      {R"({"user":"u","top":2.5})", "'top'"},
      {R"({"user":"u","top":18446744073709551615})", "'top'"},
      {R"({"user":"u","explain":1})", "'explain' is neither"},
      {R"({"user":")"
       "\xff"
       R"("})",
       "not valid JSON"},
      {R"({"user":)" + std::string(5000, '['), "nested deeper than 8"},
  };
  for (const auto& [text, words] : cases)
    EXPECT_NE(error_of(text).find(words), std::string::npos) << text.substr(0, 80) << ": " << error_of(text);
  std::string many = R"({"user":"u","candidates":["a")";
  for (int i = 0; i < 1000; ++i) many += ",\"a\"";
  EXPECT_NE(error_of(many + "]}").find("'candidates' has 1001 items"), std::string::npos);
}

TEST(Ranking, WritesAReply) {
  RankReply reply{"7", "u1", RankStatus::kOk, "", {{"i1", "Film", 0.0, 0.5, "why"}}, "expert", {0.25, 0.75}};
  EXPECT_EQ(json_line(rank_reply_json(reply, true)),
            R"({"id":"7","user":"u1","items":[{"id":"i1","title":"Film","score":0.0,"probability":0.5,"reason":"why"}],)"
            R"("gate":{"decision":"expert","weights":[0.25,0.75]}})");
  reply.id.clear();
  EXPECT_EQ(json_line(rank_reply_json(reply, false)).find("reason"), std::string::npos);
  reply.status = RankStatus::kUnknownUser;
  reply.error = "no \xff";
  EXPECT_EQ(json_line(rank_reply_json(reply, false)), "{\"user\":\"u1\",\"error\":\"no \xEF\xBF\xBD\"}");
}

}  // namespace
}  // namespace thinkrec
