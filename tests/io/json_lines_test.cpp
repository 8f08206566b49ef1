#include "io/json_lines.h"

#include <gtest/gtest.h>

#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::TempFolder;
using Texts = std::vector<std::string>;

enum Key : std::size_t { kId, kTags, kStars };

class Lines : public ::testing::Test {
 protected:
  JsonLines open(const std::string& text) const { return {folder_.put("f.json", text), {"id", "tags", "stars"}}; }
  void refuse(const std::string& text, const std::string& part) const {
    expect_error(ExitCode::kBadData, part, [&] {
      JsonLines lines = open(text);
      while (lines.next()) {
      }
    });
  }
  TempFolder folder_;
};

TEST_F(Lines, WantedMembers) {
  JsonLines lines = open(
      "{\"id\": \"a\", \"tags\": [\"x\", [\"y\\u00e9\", 3], {\"id\": \"no\", \"in\": [\"no\"]}, \"z\"], \"other\": {\"id\": 1, \"tags\": [[[]]]}, \"stars\": "
      "4.5}\n"
      "\n  \n"
      "{\"stars\": 5.0, \"tags\": \"one\", \"id\": \"\"}\r\n"
      "{\"id\": null, \"stars\": -3}");
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.text(kId), "a");
  EXPECT_EQ(lines.texts(kTags), (Texts{"x", "y\u00e9", "z"}));
  EXPECT_EQ(lines.real(kStars), 4.5);
  ASSERT_TRUE(lines.next());
  EXPECT_TRUE(lines.place().ends_with("f.json:4"));
  EXPECT_EQ(lines.text(kId), "");
  EXPECT_EQ(lines.texts(kTags), Texts{"one"});
  EXPECT_EQ(lines.integer(kStars), 5);
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.texts(kId), Texts{});
  EXPECT_EQ(lines.texts(kTags), Texts{});
  EXPECT_EQ(lines.integer(kStars), -3);
  EXPECT_EQ(lines.real(kStars), -3);
  EXPECT_FALSE(lines.next());
}

TEST_F(Lines, WrongMembers) {
  JsonLines lines = open(
      "{\"id\": 5, \"tags\": true, \"stars\": \"5\"}\n{\"stars\": 4.5, \"tags\": {}}\n{\"stars\": 1e300}\n"
      "{\"stars\": 18446744073709551615, \"tags\": 1}\n");
  ASSERT_TRUE(lines.next());
  expect_error(ExitCode::kBadData, "f.json:1: the value of 'id' is not a text; correct the line or remove it",
               [&] { lines.text(kId); });
  expect_error(ExitCode::kBadData, "'tags' is not a text or a list", [&] { lines.texts(kTags); });
  expect_error(ExitCode::kBadData, "'stars' is not a number", [&] { lines.real(kStars); });
  expect_error(ExitCode::kBadData, "'stars' is not a whole number", [&] { lines.integer(kStars); });
  ASSERT_TRUE(lines.next());
  expect_error(ExitCode::kBadData, "f.json:2: there is no 'id'; correct", [&] { lines.text(kId); });
  expect_error(ExitCode::kBadData, "'tags' is not", [&] { lines.texts(kTags); });
  expect_error(ExitCode::kBadData, "'stars' is not a whole number", [&] { lines.integer(kStars); });
  ASSERT_TRUE(lines.next());
  expect_error(ExitCode::kBadData, "'stars' is not a whole number", [&] { lines.integer(kStars); });
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.real(kStars), 18446744073709551615.0);
  expect_error(ExitCode::kBadData, "'stars' is not a whole number", [&] { lines.integer(kStars); });
  expect_error(ExitCode::kBadData, "'tags' is not", [&] { lines.texts(kTags); });
}

TEST_F(Lines, Refusals) {
  refuse("{\"id\": \"a\"}\n{'id': 'a'}\n", "f.json:2: not valid JSON at byte 2");
  refuse("{\"id\": \"a\"", "f.json:1: not valid JSON at byte 11, after '{\"id\": \"a\"'; correct the line or remove it");
  refuse("{\"id\": \"a\"} {}", "not valid JSON");
  refuse("{\"id\": \"\xe9\"}", "not valid JSON");
  refuse("{\"stars\": 1e999}", "not valid JSON");
  refuse("[1]", "f.json:1: not a JSON object");
  refuse("\"id\"", "not a JSON object");
  refuse("null", "not a JSON object");
  refuse("5", "not a JSON object");
  refuse("-5", "not a JSON object");
  refuse("5.5", "not a JSON object");
  refuse("true", "not a JSON object");
  refuse("{\"id\": \"a\", \"x\": 1, \"id\": \"b\"}", "the key 'id' is there twice");
  refuse("{\"tags\": " + std::string(64, '[') + std::string(64, ']') + "}", "nested deeper than 64 levels");
  refuse("{\"x\": " + std::string(100'000, '['), "nested deeper than 64 levels");
  expect_error(ExitCode::kNoInput, "No such file", [&] { JsonLines(folder_.file("none"), {"id"}); });
}

}  // namespace
}  // namespace thinkrec
