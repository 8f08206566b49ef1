#include "text/pre_tokenizer.h"

#include "text/unicode.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;
using Pieces = std::vector<std::string>;

Pieces pieces(SplitRule rule, const std::string& text) {
  Pieces out;
  split_words(rule, decode_utf8(text), [&](std::u32string_view piece) { out.push_back(encode_utf8(piece)); });
  return out;
}

TEST(PreTokenizer, Gpt2) {
  const auto cut = [](const std::string& text) { return pieces(SplitRule::kGpt2, text); };
  EXPECT_EQ(cut(""), Pieces{});
  EXPECT_EQ(cut("Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(cut("I'll don't HE'S"), (Pieces{"I", "'ll", " don", "'t", " HE", "'", "S"}));
  EXPECT_EQ(cut("12345 6"), (Pieces{"12345", " 6"}));
  EXPECT_EQ(cut("a  b   "), (Pieces{"a", " ", " b", "   "}));
  EXPECT_EQ(cut("a\n\n b"), (Pieces{"a", "\n\n", " b"}));
  EXPECT_EQ(cut("a\n b"), (Pieces{"a", "\n", " b"}));
  EXPECT_EQ(cut("a\nb"), (Pieces{"a", "\n", "b"}));
  EXPECT_EQ(cut("a\u00a0b"), (Pieces{"a", "\u00a0", "b"}));  // only U+0020 goes with the next word
  EXPECT_EQ(cut("x=1;\n"), (Pieces{"x", "=", "1", ";", "\n"}));
  EXPECT_EQ(cut(" '"), (Pieces{" '"}));
  EXPECT_EQ(cut(" 's"), (Pieces{" '", "s"}));
  EXPECT_EQ(cut("e\u0301a"), (Pieces{"e", "\u0301", "a"}));  // a combining mark is no letter
}

TEST(PreTokenizer, Llama3) {
  const auto cut = [](const std::string& text) { return pieces(SplitRule::kLlama3, text); };
  EXPECT_EQ(cut("I'LL don't HE'S it'\u017f"), (Pieces{"I", "'LL", " don", "'t", " HE", "'S", " it", "'\u017f"}));
  EXPECT_EQ(cut("1234567"), (Pieces{"123", "456", "7"}));
  EXPECT_EQ(cut("a 12"), (Pieces{"a", " ", "12"}));
  EXPECT_EQ(cut("(movie) 'x"), (Pieces{"(movie", ")", " '", "x"}));
  EXPECT_EQ(cut("\tword"), (Pieces{"\tword"}));
  EXPECT_EQ(cut("\nword"), (Pieces{"\n", "word"}));
  EXPECT_EQ(cut("!!\r\n\nx"), (Pieces{"!!\r\n\n", "x"}));
  EXPECT_EQ(cut(" !\n"), (Pieces{" !\n"}));
  EXPECT_EQ(cut("a \n \n  b"), (Pieces{"a", " \n \n", " ", " b"}));
  EXPECT_EQ(cut("a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(cut("   1"), (Pieces{"  ", " ", "1"}));
  EXPECT_EQ(cut("映画です"), (Pieces{"映画です"}));
  EXPECT_EQ(cut("'"), (Pieces{"'"}));
}

TEST(PreTokenizer, Qwen2TakesNumbersOneByOne) {
  EXPECT_EQ(pieces(SplitRule::kQwen2, "in 1994!"), (Pieces{"in", " ", "1", "9", "9", "4", "!"}));
}

TEST(PreTokenizer, DigitsAlone) {
  EXPECT_EQ(pieces(SplitRule::kDigits, "a12 b½"), (Pieces{"a", "1", "2", " b", "½"}));
  EXPECT_EQ(pieces(SplitRule::kDigits, "7"), (Pieces{"7"}));
  EXPECT_EQ(pieces(SplitRule::kDigits, "\U00016ff4\U00016ff5"), (Pieces{"\U00016ff4", "\U00016ff5"}));
}

TEST(PreTokenizer, KnowsTheRegularExpressionsInUse) {
  const std::string gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  const std::string llama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(rule_of_regex(gpt2), SplitRule::kGpt2);
  EXPECT_EQ(rule_of_regex(llama3), SplitRule::kLlama3);
  std::string qwen2 = llama3;
  qwen2.replace(qwen2.find("{1,3}"), 5, "");
  EXPECT_EQ(rule_of_regex(qwen2), SplitRule::kQwen2);
  EXPECT_EQ(rule_of_regex(llama3 + " "), std::nullopt);
  EXPECT_EQ(rule_of_regex(""), std::nullopt);
}

TEST(PreTokenizer, PiecesAreTheText) {
  std::mt19937 random(5);
  for (int round = 0; round < 4000; ++round) {
    const std::u32string text = random_code_points(random, 40);
    for (const SplitRule rule : {SplitRule::kDigits, SplitRule::kGpt2, SplitRule::kLlama3, SplitRule::kQwen2}) {
      std::u32string together;
      split_words(rule, text, [&](std::u32string_view piece) {
        EXPECT_FALSE(piece.empty());
        together += piece;
      });
      ASSERT_TRUE(together == text) << encode_utf8(text);
    }
  }
}

}  // namespace
}  // namespace thinkrec
