#include <random>

#include "text/tokenizer.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

const std::vector<std::string> kVocabulary = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "the",       "film", "##s",
                                              "##ing", "play",  ",",     "[",     "]",         "sep",  "cafe",
                                              "a",     "##b",   "映",    "画",    "caf\u00e9", "The",  "i\u0307"};

std::string vocabulary_text() {
  std::string text;
  for (const std::string& token : kVocabulary) text += token + "\n";
  return text;
}

Json tokenizer_json() {
  Json vocabulary = Json::object();
  for (std::size_t id = 0; id < kVocabulary.size(); ++id) vocabulary[kVocabulary[id]] = id;
  return {{"version", "1.0"},
          {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}, {"strip_accents", nullptr}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"added_tokens",
           {{{"id", 1}, {"content", "[UNK]"}, {"special", true}}, {{"id", 3}, {"content", "[SEP]"}, {"special", true}}}},
          {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
}

TEST(WordPiece, LongestMatchFirst) {
  const TempFolder folder;
  const auto tokenizer = load_tokenizer(folder.put("vocab.txt", vocabulary_text()));
  EXPECT_EQ(tokenizer->encode("The films, PLAYING"), (Ids{4, 5, 6, 9, 8, 7}));
  EXPECT_EQ(tokenizer->encode("filmed"), (Ids{1}));  // known at its front only
  EXPECT_EQ(tokenizer->encode("Caf\u00c9 cafe\u0301"), (Ids{13, 13}));
  EXPECT_EQ(tokenizer->encode("\u6620\u753b"), (Ids{16, 17}));
  EXPECT_EQ(tokenizer->encode("fi\u200blm\tthe\x01\n"), (Ids{5, 4}));
  EXPECT_EQ(tokenizer->encode(std::string("the\xff\x00film", 9)), (Ids{1}));  // U+FFFD and NUL go, "thefilm" stays
  EXPECT_EQ(tokenizer->encode("a" + std::string(99, 'b')).size(), 100U);
  EXPECT_EQ(tokenizer->encode("a" + std::string(100, 'b')), (Ids{1}));
  EXPECT_EQ(tokenizer->encode(" \t "), Ids{});
}

TEST(WordPiece, SpecialTokensInATextArePlainText) {
  const TempFolder folder;
  const auto tokenizer = load_tokenizer(folder.put("vocab.txt", vocabulary_text()));
  EXPECT_EQ(tokenizer->encode("[SEP]"), (Ids{10, 12, 11}));
  EXPECT_EQ(tokenizer->find_special("[SEP]"), 3);
  EXPECT_EQ(tokenizer->find_special("the"), std::nullopt);
  EXPECT_EQ(tokenizer->find_special("[MASK]"), std::nullopt);
  EXPECT_EQ(tokenizer->decode(Ids{2, 4, 5, 6, 3, -1, 99, 9}), "the films ,");
  EXPECT_EQ(tokenizer->size(), static_cast<std::int32_t>(kVocabulary.size()));
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
}

TEST(WordPiece, SettingsOfTheFolder) {
  const TempFolder folder;
  folder.put("vocab.txt", vocabulary_text());
  const auto lower = load_tokenizer(folder.path());
  folder.put("tokenizer_config.json", Json{{"do_lower_case", false}}.dump());
  const auto cased = load_tokenizer(folder.path());
  EXPECT_EQ(cased->encode("The the caf\u00e9"), (Ids{19, 4, 18}));
  EXPECT_NE(cased->hash(), lower->hash());
  folder.put("tokenizer_config.json", Json{{"strip_accents", false}, {"tokenize_chinese_chars", false}}.dump());
  EXPECT_EQ(load_tokenizer(folder.path())->encode("CAF\u00c9 \u6620\u753b \u0130"), (Ids{18, 1, 20}));
  folder.put("tokenizer.json", tokenizer_json().dump());  // goes before vocab.txt
  EXPECT_EQ(load_tokenizer(folder.path())->encode("CAF\u00c9 [SEP]"), (Ids{13, 10, 12, 11}));
}

TEST(WordPiece, BadFilesAreNamed) {
  const TempFolder folder;
  const auto bad_text = [&](const std::string& part, const std::string& text) {
    expect_error(ExitCode::kBadData, part, [&] { load_tokenizer(folder.put("vocab.txt", text)); });
  };
  bad_text("vocab.txt: there is no token '[UNK]'", "a\nb\n");
  bad_text("vocab.txt: the token 'a' is there twice", "a\n[UNK]\na\n");
  bad_text("vocab.txt:2: an empty line", "a\n\n[UNK]\n");
  expect_error(ExitCode::kNoInput, "nowhere.txt", [&] { load_tokenizer(folder.file("nowhere.txt")); });
  const auto bad = [&](const std::string& part, const Json& json) {
    expect_error(ExitCode::kBadData, part, [&] { load_tokenizer(folder.put("tokenizer.json", json.dump())); });
  };
  Json json = tokenizer_json();
  json["normalizer"] = {{"type", "NFC"}};
  bad("the normalizer 'NFC' is not supported for WordPiece", json);
  json = tokenizer_json();
  json["pre_tokenizer"] = nullptr;
  bad("the pre-tokenizer '' is not supported for WordPiece", json);
  json = tokenizer_json();
  json["model"]["vocab"] = Json::object();
  bad("'vocab' is missing", json);
  json = tokenizer_json();
  json["model"]["vocab"]["more"] = 4;
  bad("id 4 is there twice", json);
  json["model"]["vocab"]["more"] = -4;
  bad("the id of token 'more' is not an integer", json);
  json = tokenizer_json();
  json["model"]["max_input_chars_per_word"] = "x";
  bad("max_input_chars_per_word is not an integer", json);
  json = tokenizer_json();
  json["added_tokens"][0]["id"] = 400;
  bad("the added token '[UNK]' is not in the vocabulary under its id", json);
  json["added_tokens"] = 5;
  bad("'added_tokens' is not a list", json);
  json["added_tokens"] = {5};
  bad("an added token is not an object", json);
}

TEST(WordPiece, DamagedFilesGiveErrorsOnly) {
  const TempFolder folder;
  const std::string good = tokenizer_json().dump();
  std::mt19937 random(4);
  for (int round = 0; round < 150; ++round) {
    std::string bytes = good;
    for (std::uint32_t n = random() % 3 + 1; n > 0; --n) bytes[random() % bytes.size()] = "{}[]\",:0129ae#\x80"[random() % 15];
    try {
      load_tokenizer(folder.put("tokenizer.json", bytes))->encode("The films caf\u00e9");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadData) << error.what();
    }
  }
}

}  // namespace
}  // namespace thinkrec
