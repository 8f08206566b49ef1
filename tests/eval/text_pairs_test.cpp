#include "eval/text_pairs.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/testing.h"
#include "eval/small_wordnet.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

class TextPairsTest : public ::testing::Test {
 protected:
  TextPairsTest() { write_small_wordnet(folder_); }

  TextEvaluation score(const std::string& text) {
    folder_.write("pairs.jsonl", text);
    return score_texts(read_text_pairs(folder_ / "pairs.jsonl"), WordNet(folder_.path()));
  }

  void expect_bad(const std::string& text, const std::string& message) {
    expect_error(ExitCode::kBadData, folder_ / "pairs.jsonl" + message, [&] { score(text); });
  }

  Folder folder_;
};

TEST_F(TextPairsTest, ScoresMeansTableAndJson) {
  const TextEvaluation result = score(
      "{\"reference\": \"They love it.\", \"candidate\": \"they like it.\", \"user\": 7}\r\n"
      "\n"
      "{\"candidate\": \"\", \"reference\": \"a b\"}");
  ASSERT_EQ(result.pairs.size(), 2U);
  EXPECT_NEAR(result.pairs[0].meteor, 1 - 0.5 / 64, 1e-14);
  EXPECT_NEAR(result.pairs[0].rouge_l, 0.75, 1e-14);
  EXPECT_NEAR(result.pairs[0].bleu4, std::pow(3.0 / 4 * 1 / 3 * 0.1 / 2 * 0.1, 0.25), 1e-14);
  EXPECT_EQ(result.pairs[1].meteor + result.pairs[1].rouge_l + result.pairs[1].bleu4, 0);
  EXPECT_NEAR(result.mean.rouge_l, 0.375, 1e-14);
  EXPECT_EQ(result.table(),
            "2 pairs, mean tokens: 3.0 in references, 2.0 in candidates\n"
            "  METEOR   0.4961\n"
            "  BLEU-4   0.0940\n"
            "  ROUGE-L  0.3750\n"
            "  BLEURT   left out: no checkpoint (--bleurt)\n");
  const nlohmann::json json = result.json();
  EXPECT_EQ(json["pairs"], 2);
  EXPECT_EQ(json["tokens"]["candidate"], 2.0);
  EXPECT_EQ(json["mean"]["meteor"], result.mean.meteor);
  EXPECT_EQ(json["scores"][0]["bleu4"], result.pairs[0].bleu4);
  EXPECT_EQ(json["scores"].size(), 2U);
  EXPECT_EQ(json["left_out"], nlohmann::json({"bleurt"}));
  EXPECT_FALSE(json["mean"].contains("bleurt"));
}

TEST_F(TextPairsTest, ALearntMetricIsAColumnMore) {
  const TextPairs pairs{{"a b", "c"}, {"a b", "d"}};
  const auto lengths = [](const TextPairs& all) {
    std::vector<double> scores;
    for (std::size_t i = 0; i < all.reference.size(); ++i) scores.push_back(static_cast<double>(all.reference[i].size()));
    return scores;
  };
  const TextEvaluation result = score_texts(pairs, WordNet(folder_.path()), lengths);
  EXPECT_EQ(result.pairs[0].bleurt, 3);
  EXPECT_EQ(result.mean.bleurt, 2);
  EXPECT_NE(result.table().find("BLEURT   2.0000\n"), std::string::npos) << result.table();
  EXPECT_EQ(result.json()["scores"][1]["bleurt"], 1.0);
  EXPECT_FALSE(result.json().contains("left_out"));
}

TEST_F(TextPairsTest, BadLinesAreNamed) {
  const std::string good = "{\"reference\": \"a\", \"candidate\": \"b\"}\n";
  expect_bad("", ": no pair in it");
  expect_bad(" \n\t\n", ": no pair in it");
  expect_bad(good + "{\"reference\": \"a\"}", ":2: 'candidate' is missing");
  expect_bad(good + good + "{\"candidate\": \"a\"}", ":3: 'reference' is missing");
  expect_bad(good + "{\"reference\": 1, \"candidate\": \"b\"}", ":2: 'reference' is not a text");
  expect_bad(good + "{\"reference\": \"a\", \"candidate\": null}", ":2: 'candidate' is not a text");
  expect_bad(good + "[1]", ":2: not a JSON object");
  expect_bad(good + "{\"reference\": ", ":2: not valid JSON at byte");
  expect_bad(good + "{\"reference\": \"\xff\", \"candidate\": \"b\"}", ":2: not valid JSON at byte");
  expect_bad(good + "{\"reference\": \"a\", \"candidate\": \"b\", \"x\": 1e999}", ":2: not valid JSON");
  expect_bad("{\"reference\": \"a\", \"candidate\": \"b\", \"reference\": \"c\"}", ":1: the key 'reference' is there twice");
  expect_bad(std::string(100000, '['), ":1: nested deeper than 64 levels");
  std::string words;
  for (int i = 0; i < 16385; ++i) words += "a ";
  expect_bad("{\"reference\": \"a\", \"candidate\": \"" + words + "\"}", ":1: 'candidate' has 16385 tokens, more than 16384");
  words.resize(words.size() - 2);
  EXPECT_EQ(score("{\"reference\": \"a\", \"candidate\": \"" + words + "\"}").candidate_tokens, 16384);
}

TEST_F(TextPairsTest, AMissingFile) {
  expect_error(ExitCode::kNoInput, "nowhere.jsonl", [&] { read_text_pairs(folder_ / "nowhere.jsonl"); });
}

}  // namespace
}  // namespace thinkrec
