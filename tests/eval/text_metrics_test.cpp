#include "eval/text_metrics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/porter.h"
#include "eval/small_wordnet.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

constexpr double kNear = 1e-14;

double meteor_of(const std::string& reference, const std::string& candidate) {
  static const WordNet* wordnet = [] {
    const Folder folder;
    write_small_wordnet(folder);
    static const WordNet loaded(folder.path());
    return &loaded;
  }();
  return meteor(metric_tokens(reference), metric_tokens(candidate), *wordnet);
}

double bleu_of(const std::string& reference, const std::string& candidate) {
  return bleu4(metric_tokens(reference), metric_tokens(candidate));
}

double rouge_of(const std::string& reference, const std::string& candidate) {
  return rouge_l(metric_tokens(reference), metric_tokens(candidate));
}

TEST(TextMetrics, Tokens) {
  EXPECT_EQ(metric_tokens("The user's  2nd_film... (2001)\n"),
            (Tokens{"the", "user", "'", "s", "2nd_film", "...", "(", "2001", ")"}));
  EXPECT_EQ(metric_tokens("ÉTÉ—Łódź ΟΔΟΣ"), (Tokens{"été", "—", "łódź", "οδοσ"}));
  EXPECT_EQ(metric_tokens("日本語 映画。"), (Tokens{"日本語", "映画", "。"}));
  EXPECT_EQ(metric_tokens("a\xff b"), (Tokens{"a", "\xef\xbf\xbd", "b"}));
  EXPECT_EQ(metric_tokens(" \t\n"), Tokens{});
  EXPECT_EQ(metric_tokens(""), Tokens{});
}

TEST(TextMetrics, PorterStems) {
  const std::pair<const char*, const char*> words[] = {
      // Examples of the paper, in the order of its steps.
      {"caresses", "caress"},
      {"ponies", "poni"},
      {"cats", "cat"},
      {"feed", "feed"},
      {"agreed", "agre"},
      {"plastered", "plaster"},
      {"bled", "bled"},
      {"motoring", "motor"},
      {"sing", "sing"},
      {"conflated", "conflat"},
      {"troubled", "troubl"},
      {"sized", "size"},
      {"hopping", "hop"},
      {"falling", "fall"},
      {"hissing", "hiss"},
      {"fizzed", "fizz"},
      {"failing", "fail"},
      {"filing", "file"},
      {"happy", "happi"},
      {"relational", "relat"},
      {"conditional", "condit"},
      {"digitizer", "digit"},
      {"radically", "radic"},
      {"differently", "differ"},
      {"vietnamization", "vietnam"},
      {"operator", "oper"},
      {"feudalism", "feudal"},
      {"hopefulness", "hope"},
      {"sensibility", "sensibl"},
      {"triplicate", "triplic"},
      {"formative", "form"},
      {"electrical", "electr"},
      {"goodness", "good"},
      {"revival", "reviv"},
      {"replacement", "replac"},
      {"adoption", "adopt"},
      {"homologous", "homolog"},
      {"probate", "probat"},
      {"rate", "rate"},
      {"cease", "ceas"},
      {"controlling", "control"},
      {"roll", "roll"},
      // NLTK's changes.
      {"skies", "sky"},
      {"dying", "die"},
      {"news", "news"},
      {"is", "is"},
      {"ties", "tie"},
      {"died", "die"},
      {"spied", "spi"},
      {"enjoy", "enjoy"},
      {"fly", "fli"},
      {"by", "by"},
      {"visibly", "visibl"},
      {"hopefully", "hope"},
      {"geology", "geolog"},
      {"owed", "owe"},
      {"", ""},
      // Letters are counted, not bytes: of these, only the second is one letter and -ies.
      {"ééies", "ééi"},
      {"éies", "éie"},
      {"éy", "éy"},
  };
  for (const auto& [word, stem] : words) EXPECT_EQ(porter_stem(word), stem) << word;
  EXPECT_EQ(porter_stem("yyy"), "yyy");
  EXPECT_EQ(porter_stem("yyyy"), "yyyi");  // the third of them is a consonant
  EXPECT_TRUE(porter_stem(std::string(100000, 'y')) == std::string(99999, 'y') + "i");
}

TEST(Meteor, IdenticalTextsLoseOneChunk) {
  EXPECT_NEAR(meteor_of("a b c d", "A b C d"), 1 - 0.5 / 64, kNear);
  EXPECT_NEAR(meteor_of("word", "word"), 0.5, kNear);
}

TEST(Meteor, EmptyTextsAndTextsWithNothingInCommon) {
  EXPECT_EQ(meteor_of("", "a b"), 0);
  EXPECT_EQ(meteor_of("a b", ""), 0);
  EXPECT_EQ(meteor_of("", ""), 0);
  EXPECT_EQ(meteor_of("a b", "c d"), 0);
}

TEST(Meteor, RecallWeighsMoreThanPrecision) {
  EXPECT_NEAR(meteor_of("a b c d", "a b x"), (2.0 / 3 * 0.5) / (0.9 * 2 / 3 + 0.1 * 0.5) * (1 - 0.5 / 8), kNear);
  EXPECT_NEAR(meteor_of("a b x", "a b c d"), (2.0 / 3 * 0.5) / (0.9 * 0.5 + 0.1 * 2 / 3) * (1 - 0.5 / 8), kNear);
}

TEST(Meteor, WordsAreMatchedFromTheEnd) {
  // The alignment with the fewest chunks would have 3; taking the last free reference word for each, from the end, makes 6.
  EXPECT_NEAR(meteor_of("the cat sat on the mat", "on the mat sat the cat"), 0.5, kNear);
  // "x" is matched with the last one: not adjacent to "a".
  EXPECT_NEAR(meteor_of("a x b x", "a x"), (1 * 0.5) / (0.9 + 0.1 * 0.5) * 0.5, kNear);
}

TEST(Meteor, StemsAndSynonymsMatch) {
  EXPECT_NEAR(meteor_of("cats like movies", "cat likes movie"), 1 - 0.5 / 27, kNear);
  EXPECT_NEAR(meteor_of("they love it", "they like it"), 1 - 0.5 / 27, kNear);
  EXPECT_NEAR(meteor_of("they love it", "they liking it"), 1 - 0.5 / 27, kNear);  // its stem, like, is looked up
  EXPECT_NEAR(meteor_of("a rodent here", "a mice here"), 1 - 0.5 / 27, kNear);    // mice -> mouse
  // An exact word goes before a synonym that stands later.
  EXPECT_NEAR(meteor_of("like love", "like"), 0.5 / (0.9 + 0.05) * 0.5, kNear);
  // As with NLTK, the stem "movi" has no synonyms; and those with capitals match nothing in lower case.
  EXPECT_EQ(meteor_of("film", "movie"), 0);
  EXPECT_EQ(meteor_of("movie", "film"), 0);
  // Of two synonyms the later one, be it the same word or another.
  EXPECT_NEAR(meteor_of("love it enjoy you", "like you"), 0.5 / (0.9 + 0.05) * (1 - 0.5 / 8), kNear);
  EXPECT_NEAR(meteor_of("enjoy it love you", "like you"), 0.5 / (0.9 + 0.05) * (1 - 0.5 / 8), kNear);
  EXPECT_NEAR(meteor_of("love it love", "like"), (1.0 / 3) / (0.9 + 0.1 / 3) * 0.5, kNear);
  EXPECT_NEAR(meteor_of("love it love x", "like x"), 0.5 / (0.9 + 0.05) * (1 - 0.5 / 8), kNear);
}

TEST(Bleu, HandComputed) {
  EXPECT_NEAR(bleu_of("a b c d", "a b c d"), 1, kNear);
  EXPECT_NEAR(bleu_of("a b x d", "a b c d"), std::pow(3.0 / 4 * 1 / 3 * 0.1 / 2 * 0.1, 0.25), kNear);
  EXPECT_NEAR(bleu_of("a b c d", "a b"), std::exp(1 - 2.0) * std::pow(0.1 * 0.1, 0.25), kNear);          // brevity
  EXPECT_NEAR(bleu_of("the cat", "the the the"), std::pow(1.0 / 3 * 0.1 / 2 * 0.1 * 0.1, 0.25), kNear);  // clipping
  EXPECT_NEAR(bleu_of("a b c d e", "a b c d e f"), std::pow(5.0 / 6 * 4 / 5 * 3 / 4 * 2 / 3, 0.25), kNear);
  EXPECT_EQ(bleu_of("a b", "c d"), 0);
  EXPECT_EQ(bleu_of("a b", ""), 0);
  EXPECT_EQ(bleu_of("", "a b"), 0);
  EXPECT_EQ(bleu_of("", ""), 0);
}

TEST(RougeL, HandComputed) {
  EXPECT_NEAR(rouge_of("a b c d", "a b c d"), 1, kNear);
  EXPECT_NEAR(rouge_of("a b c d e", "a x c e"), 2 * (3.0 / 4) * (3.0 / 5) / (3.0 / 4 + 3.0 / 5), kNear);
  EXPECT_NEAR(rouge_of("a b c", "c b a"), 1.0 / 3, kNear);  // in order
  EXPECT_NEAR(rouge_of("a a b", "a b b"), 2.0 / 3, kNear);
  EXPECT_EQ(rouge_of("a b", "c d"), 0);
  EXPECT_EQ(rouge_of("a b", ""), 0);
  EXPECT_EQ(rouge_of("", "a b"), 0);
  EXPECT_EQ(rouge_of("", ""), 0);
}

}  // namespace
}  // namespace thinkrec
