#include "eval/wordnet.h"

#include <gtest/gtest.h>

#include "support/testing.h"
#include "eval/small_wordnet.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;
using Words = std::vector<std::string>;

TEST(WordNet, SynonymsOfWordsAndTheirBaseForms) {
  const Folder folder;
  write_small_wordnet(folder);
  const WordNet wordnet(folder.path());
  EXPECT_EQ(wordnet.synsets(), 5);
  EXPECT_EQ(wordnet.lemmas(), 11);
  EXPECT_EQ(wordnet.synonyms("film"), (Words{"Movie", "film"}));  // motion_picture is two words
  EXPECT_EQ(wordnet.synonyms("motion_picture"), (Words{"Movie", "film"}));
  EXPECT_EQ(wordnet.synonyms("films"), (Words{"Movie", "film"}));           // -s
  EXPECT_EQ(wordnet.synonyms("loved"), (Words{"enjoy", "like", "love"}));   // -ed of a verb
  EXPECT_EQ(wordnet.synonyms("liking"), (Words{"enjoy", "like", "love"}));  // -ing
  EXPECT_EQ(wordnet.synonyms("finest"), (Words{"fine", "good"}));           // without their markers (ip) and (a)
  EXPECT_EQ(wordnet.synonyms("mice"), (Words{"mouse", "rodent"}));          // an exception
  EXPECT_EQ(wordnet.synonyms("better"), (Words{"fine", "good", "well"}));   // of two parts of speech
  for (const char* unknown : {"", "s", "liked_by", "filmed", "rodentses", "\xff\xfe", "wells"}) {
    EXPECT_EQ(wordnet.synonyms(unknown), Words{}) << unknown;
  }
}

TEST(WordNet, MissingFiles) {
  expect_error(ExitCode::kNoInput, "install the package wordnet-base", [] { WordNet("/nowhere/wordnet"); });
  for (const auto& [name, text] : small_wordnet()) {
    const Folder folder;
    write_small_wordnet(folder);
    std::filesystem::remove(folder / name);
    expect_error(ExitCode::kNoInput, folder / name, [&] { WordNet{folder.path()}; });
    std::filesystem::create_directory(folder / name);
    expect_error(ExitCode::kNoInput, folder / name, [&] { WordNet{folder.path()}; });
  }
}

TEST(WordNet, MalformedFilesAreNamedWithTheLine) {
  struct Case {
    std::string file, text, message;
  };
  const std::vector<Case> cases = {
      {"data.noun", "", "no synset"},
      {"data.noun", "  only the licence\n", "no synset"},
      {"data.noun", "\n", ":1: the offset is missing"},
      {"data.noun", "x 03 n 01 film 0", ":1: the offset cannot be 'x'"},
      {"data.noun", "99999999999 03 n 01 film 0", "the offset cannot be '99999999999'"},
      {"data.noun", "00000007 03 n 01 film 0", "says it is at byte 7, and is at 0"},
      {"data.noun", "00000000", "the lexicographer file is missing"},
      {"data.noun", "00000000 -1 n 01 film 0", "the lexicographer file cannot be '-1'"},
      {"data.noun", "00000000 03 v 01 film 0", "the type of synset cannot be 'v'"},
      {"data.noun", "00000000 03 nn 01 film 0", "the type of synset cannot be 'nn'"},
      {"data.noun", "00000000 03 n 00 film 0", "the number of words cannot be '00'"},
      {"data.noun", "00000000 03 n ffffffff film 0", "the word is missing"},
      {"data.noun", "00000000 03 n 02 film 0 movie", "the id of a word is missing"},
      {"data.noun", "00000000 03 n 02 film 0 movie zz", "the id of a word cannot be 'zz'"},
      {"index.adv", "", "no lemma"},
      {"index.adv", "well", ":1: the part of speech is missing"},
      {"index.adv", "well n 1 0 1 0 00000022", "the part of speech is not 'r'"},
      {"index.adv", "well r 0 0 0 0", "the number of synsets cannot be '0'"},
      {"index.adv", "well r 1 4000000000 @", "the symbol of a pointer is missing"},
      {"index.adv", "well r 1 0 2 0 00000022", "the numbers of senses and of synsets differ"},
      {"index.adv", "well r 2 0 2 0 00000022", "the offset of a synset is missing"},
      {"index.adv", "well r 1 0 1 0 00000023", "'well' has a synset that the data file lacks"},
      {"noun.exc", "mice\n", ":1: the base form is missing"},
      {"noun.exc", "mice mouse\n\n", ":2: the inflected form is missing"},
  };
  for (const Case& bad : cases) {
    const Folder folder;
    write_small_wordnet(folder);
    folder.write(bad.file, bad.text);
    expect_error(ExitCode::kBadData, bad.message, [&] { WordNet{folder.path()}; });
    expect_error(ExitCode::kBadData, folder / bad.file, [&] { WordNet{folder.path()}; });
  }
}

TEST(WordNet, CutAndDamagedFilesAreRefusedOrRead) {
  const Folder folder;
  write_small_wordnet(folder);
  int refused = 0, read = 0;
  const auto attempt = [&] {
    try {
      const WordNet wordnet(folder.path());
      ++read;
      EXPECT_LT(wordnet.synonyms("better").size(), 100U);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadData) << error.what();
      ++refused;
    }
  };
  for (const std::string name : {"data.noun", "index.adj", "noun.exc"}) {
    const std::string whole = small_wordnet()[name];
    for (std::size_t i = 0; i < whole.size(); ++i) {
      folder.write(name, whole.substr(0, i));
      attempt();
      for (const char byte : {'\0', '\n', ' ', '9', '\xff'}) {
        std::string damaged = whole;
        damaged[i] = byte;
        folder.write(name, damaged);
        attempt();
      }
    }
    folder.write(name, whole);
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace thinkrec
