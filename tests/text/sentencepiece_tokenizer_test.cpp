#include <random>

#include "text/tokenizer.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

TEST(SentencePieceTokenizer, SameIdsAsThePackage) {
  const Json expected = fixture_json("expected_sentencepiece.json");
  const auto texts = expected["texts"].get<std::vector<std::string>>();
  ASSERT_EQ(expected["models"].size(), 3U);
  for (const auto& [name, model] : expected["models"].items()) {
    const auto tokenizer = load_tokenizer(fixture(name + ".model"));
    EXPECT_EQ(tokenizer->size(), model["size"].get<std::int32_t>());
    EXPECT_EQ(tokenizer->bos().value_or(-1), model["bos"].get<std::int32_t>());
    EXPECT_EQ(tokenizer->eos().value_or(-1), model["eos"].get<std::int32_t>());
    EXPECT_EQ(tokenizer->find_special("<|im_end|>"), model["im_end"].get<std::int32_t>());
    EXPECT_EQ(tokenizer->find_special("<unk>"), 0);
    EXPECT_EQ(tokenizer->find_special("no such token"), std::nullopt);
    EXPECT_EQ(tokenizer->find_special("a"), std::nullopt);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Ids ids = tokenizer->encode(texts[i]);
      ASSERT_EQ(ids, model["ids"][i].get<Ids>()) << name << " " << Json(texts[i]);
      ASSERT_EQ(tokenizer->decode(ids), model["decoded"][i].get<std::string>()) << name << " " << Json(texts[i]);
      if (name != "no_bytes" && texts[i].find("\u2581") == std::string::npos) {  // to sentencepiece, U+2581 is a space
        ASSERT_EQ(tokenizer->decode(ids), texts[i]);
      }
    }
  }
}

TEST(SentencePieceTokenizer, SpecialTokens) {
  const auto tokenizer = load_tokenizer(fixture("bpe.model"));
  const auto end = tokenizer->find_special("<|im_end|>");
  ASSERT_TRUE(end.has_value());
  Ids ids = tokenizer->encode("the <|im_end|> film");
  for (const std::int32_t id : ids) EXPECT_NE(id, *end);
  EXPECT_EQ(tokenizer->decode(ids), "the <|im_end|> film");
  ids.insert(ids.begin(), *tokenizer->bos());
  ids.insert(ids.end(), {*end, *tokenizer->eos(), 0, -1, 1 << 30});
  EXPECT_EQ(tokenizer->decode(ids), "the <|im_end|> film");
  EXPECT_EQ(tokenizer->decode({}), "");
}

TEST(SentencePieceTokenizer, InvalidTextBecomesReplacementCharacters) {
  const auto tokenizer = load_tokenizer(fixture("unigram.model"));
  EXPECT_EQ(tokenizer->encode("a\xe4\xbd("), tokenizer->encode("a\ufffd("));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xe4\xbd(")), "a\ufffd(");
}

TEST(SentencePieceTokenizer, FolderWithConfig) {
  const TempFolder folder;
  folder.put("tokenizer.model", fixture_bytes("bpe.model"));
  const auto plain = load_tokenizer(folder.path());
  EXPECT_EQ(plain->bos(), 1);
  EXPECT_EQ(plain->eos(), 2);
  EXPECT_EQ(plain->hash(), load_tokenizer(fixture("bpe.model"))->hash());
  EXPECT_NE(plain->hash(), load_tokenizer(fixture("unigram.model"))->hash());
  folder.put("tokenizer_config.json", Json{{"add_bos_token", false}, {"eos_token", "<|im_end|>"}}.dump());
  const auto changed = load_tokenizer(folder.path());
  EXPECT_EQ(changed->bos(), std::nullopt);
  EXPECT_EQ(changed->eos(), changed->find_special("<|im_end|>"));
  EXPECT_NE(changed->hash(), plain->hash());
  folder.put("tokenizer_config.json", Json{{"eos_token", "<|nope|>"}}.dump());
  expect_error(ExitCode::kBadData, "the model has no token '<|nope|>'", [&] { load_tokenizer(folder.path()); });
}

TEST(SentencePieceTokenizer, DamagedFilesGiveErrorsOnly) {
  const TempFolder folder;
  expect_error(ExitCode::kBadData, "not a sentencepiece model",
               [&] { load_tokenizer(folder.put("a.model", std::string("hello"))); });
  expect_error(ExitCode::kBadData, "not a sentencepiece model", [&] { load_tokenizer(folder.put("a.model", std::string())); });
  const std::string good = fixture_bytes("bpe.model");
  std::mt19937 random(31);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = good;
    for (std::uint32_t n = random() % 3 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random() % 256);
    if (random() % 3 == 0) bytes.resize(random() % bytes.size());
    try {
      const auto tokenizer = load_tokenizer(folder.put("a.model", bytes));
      tokenizer->decode(tokenizer->encode("the film (1994) 映画"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadData) << error.what();
    }
  }
}

}  // namespace
}  // namespace thinkrec
