#include "io/bounded_json.h"

#include <gtest/gtest.h>

#include <chrono>

#include "io_testing.h"
#include "support/sanitized.h"

namespace thinkrec {
namespace {

using testing::expect_error;

void refuse(const std::string& text, const std::string& part, int deepest = 64) {
  expect_error(ExitCode::kBadData, "here: " + part, [&] { parse_json_object(text, "here", deepest); });
}

TEST(BoundedJson, Reads) {
  const auto json = parse_json_object(R"({"a": {"x": 1}, "b": [{"x": 2}, {"x": [[]]}], "x": -1.5, "c": null})", "here", 5);
  EXPECT_EQ(json.dump(), R"({"a":{"x":1},"b":[{"x":2},{"x":[[]]}],"c":null,"x":-1.5})");
}

TEST(BoundedJson, Refusals) {
  refuse("{\"a\": 1, \"a\": 2}", "the key 'a' is there twice in one object");
  refuse("{\"b\": [{\"a\": 1, \"\\u0061\": 2}]}", "the key 'a' is there twice");
  refuse("{\"\\n\": 1, \"\\n\": 2}", "the key '\\x0a' is there twice");
  refuse("{\"a\": [[[]]]}", "nested deeper than 3 levels", 3);
  refuse("{\"a\": {\"b\": {\"c\": {}}}}", "nested deeper than 3 levels", 3);
  refuse(std::string(1'000'000, '['), "nested deeper than 64 levels");
  refuse("{\"a\": 1", "not valid JSON at byte 8");
  refuse("{\"a\": 1} x", "not valid JSON at byte 10");
  refuse("{\"a\": 1e999}", "not valid JSON: ");
  refuse("{\"a\": \"\xe9\"}", "not valid JSON at byte");
  for (const char* text : {"[]", "5", "null", "\"a\""}) refuse(text, "not a JSON object");
}

/// Time grows with the text: a list of half a million objects took a minute once.
TEST(BoundedJson, ManyObjectsTakeNoSquareOfTime) {
  std::string text = "{\"a\": [{}";
  const std::size_t more = unless_sanitized(500'000, 100'000);
  for (std::size_t i = 0; i < more; ++i) text += ",{}";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json_object(text + "]}", "here").at("a").size(), more + 1);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace thinkrec
