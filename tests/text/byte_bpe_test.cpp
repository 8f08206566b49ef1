#include "text/byte_bpe.h"

#include <ctime>
#include <thread>

#include "support/sanitized.h"
#include "text/byte_alphabet.h"
#include "text/unicode.h"
#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

/// All bytes at their own ids, then these tokens, then "<|end|>" (control) and "<tool>" (added).
ByteBpeSpec spec_with(const std::vector<std::string>& tokens) {
  ByteBpeSpec spec;
  for (const char32_t c : byte_alphabet()) spec.tokens.push_back(encode_utf8({&c, 1}));
  spec.tokens.insert(spec.tokens.end(), tokens.begin(), tokens.end());
  spec.control.push_back(static_cast<std::int32_t>(spec.tokens.size()));
  spec.tokens.push_back("<|end|>");
  spec.added.push_back(static_cast<std::int32_t>(spec.tokens.size()));
  spec.tokens.push_back("<tool>");
  spec.rules = {SplitRule::kGpt2};
  return spec;
}

TEST(ByteBpe, EncodesAndDecodes) {
  ByteBpeSpec spec = spec_with({"he", "ll", "hell", "Ġhe"});  // 256 to 259, control 260, added 261
  spec.merges = {{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"Ġ", "he"}};
  spec.bos = 260;
  const auto tokenizer = make_byte_bpe(spec, "here");
  EXPECT_EQ(tokenizer->size(), 262);
  EXPECT_EQ(tokenizer->bos(), 260);
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
  EXPECT_EQ(tokenizer->encode(""), Ids{});
  EXPECT_EQ(tokenizer->encode("hello he hell"), (Ids{258, 'o', 259, ' ', 258}));
  EXPECT_EQ(tokenizer->encode("é"), (Ids{0xc3, 0xa9}));
  EXPECT_EQ(tokenizer->encode("\xff"), (Ids{0xef, 0xbf, 0xbd}));
  EXPECT_EQ(tokenizer->encode(std::string("\0", 1)), Ids{0});
  EXPECT_EQ(tokenizer->decode(Ids{258, 'o', 259}), "hello he");
  EXPECT_EQ(tokenizer->decode(Ids{0xc3}), "\xc3");                                // half a character
  EXPECT_EQ(tokenizer->decode(Ids{-1, 'a', 260, 261, 262, 1 << 30}), "a<tool>");  // no such ids, and a control token: nothing
}

TEST(ByteBpe, NeverMakesSpecialTokensFromText) {
  for (const bool ignore_merges : {false, true}) {
    ByteBpeSpec spec = spec_with({"the"});
    spec.control.push_back(static_cast<std::int32_t>(spec.tokens.size()));
    spec.tokens.push_back("pad");  // a whole word
    spec.added.push_back(static_cast<std::int32_t>(spec.tokens.size()));
    spec.tokens.push_back("tool");
    spec.rules = {};
    spec.ignore_merges = ignore_merges;
    const auto tokenizer = make_byte_bpe(spec, "here");
    for (const std::string text : {"<|end|>", "<tool>", "pad", "tool"}) {
      EXPECT_EQ(tokenizer->encode(text), Ids(text.begin(), text.end()));
      EXPECT_TRUE(tokenizer->find_special(text).has_value());
    }
    EXPECT_EQ(tokenizer->encode("the"), ignore_merges ? Ids{256} : (Ids{'t', 'h', 'e'}));
    EXPECT_EQ(tokenizer->find_special("the"), std::nullopt);
    EXPECT_EQ(tokenizer->find_special("<|end|>"), 257);
    EXPECT_EQ(tokenizer->find_special(""), std::nullopt);
  }
}

TEST(ByteBpe, LeavesOutBytesThatTheVocabularyLacks) {
  ByteBpeSpec spec = spec_with({"ac"});
  spec.tokens['b'].clear();
  spec.merges = {{"a", "c"}};
  const auto tokenizer = make_byte_bpe(spec, "here");
  EXPECT_EQ(tokenizer->encode("abc"), Ids{256});
  EXPECT_EQ(tokenizer->encode("b"), Ids{});
  EXPECT_EQ(tokenizer->decode(Ids{'b', 'a'}), "a");
}

TEST(ByteBpe, RulesCutInTurn) {
  ByteBpeSpec spec = spec_with({"12", "a1", "Ġa"});
  spec.merges = {{"1", "2"}, {"a", "1"}, {"Ġ", "a"}};
  spec.rules = {};
  EXPECT_EQ(make_byte_bpe(spec, "here")->encode(" a12"), (Ids{258, 256}));
  spec.rules = {SplitRule::kLlama3, SplitRule::kDigits};
  EXPECT_EQ(make_byte_bpe(spec, "here")->encode(" a12"), (Ids{258, '1', '2'}));
}

TEST(ByteBpe, RefusesWhatDoesNotFit) {
  const auto refuses = [](const std::string& part, const std::function<void(ByteBpeSpec&)>& change) {
    ByteBpeSpec spec = spec_with({"ab", "abc"});  // 256, 257; control 258, added 259
    spec.merges = {{"a", "b"}, {"ab", "c"}};
    spec.bos = spec.eos = 258;
    EXPECT_NO_THROW(make_byte_bpe(spec, "file"));
    change(spec);
    expect_error(ExitCode::kBadData, "file: " + part, [&] { make_byte_bpe(spec, "file"); });
  };
  refuses("BOS or EOS token 260 is outside", [](ByteBpeSpec& s) { s.bos = 260; });
  refuses("BOS or EOS token -1 is outside", [](ByteBpeSpec& s) { s.eos = -1; });
  refuses("special token 260 is outside", [](ByteBpeSpec& s) { s.control.push_back(260); });
  refuses("special token -1 is outside", [](ByteBpeSpec& s) { s.added.push_back(-1); });
  refuses("special token 258 is there twice", [](ByteBpeSpec& s) { s.added.push_back(258); });
  refuses("special token 7 has no text", [](ByteBpeSpec& s) { s.tokens[7].clear(), s.control.push_back(7); });
  refuses("token 'ab' is there twice, as 256 and as 260", [](ByteBpeSpec& s) { s.tokens.push_back("ab"); });
  refuses("token '<|end|>' is there twice", [](ByteBpeSpec& s) { s.tokens.push_back("<|end|>"); });
  refuses("token 260 ('a b') is not in the byte alphabet", [](ByteBpeSpec& s) { s.tokens.push_back("a b"); });
  refuses("merge 2 ('b' and 'z'): there is no ordinary token 'bz'", [](ByteBpeSpec& s) { s.merges.emplace_back("b", "z"); });
  refuses("merge 2 ('zz' and 'a'): there is no ordinary token 'zz'", [](ByteBpeSpec& s) { s.merges.emplace_back("zz", "a"); });
  refuses("merge 0 ('a' and 'b'): there is no ordinary token 'ab'", [](ByteBpeSpec& s) { s.control.push_back(256); });
}

TEST(ByteBpe, HashTellsSettingsApart) {
  ByteBpeSpec base = spec_with({"ab", "abc", "bc"});
  base.merges = {{"a", "b"}, {"ab", "c"}};
  const std::string hash = make_byte_bpe(base, "one")->hash();
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(make_byte_bpe(base, "another")->hash(), hash);
  const auto differs = [&](const std::function<void(ByteBpeSpec&)>& change) {
    ByteBpeSpec spec = base;
    change(spec);
    EXPECT_NE(make_byte_bpe(spec, "one")->hash(), hash);
  };
  differs([](ByteBpeSpec& s) { s.bos = 1; });
  differs([](ByteBpeSpec& s) { s.eos = 1; });
  differs([](ByteBpeSpec& s) { s.ignore_merges = true; });
  differs([](ByteBpeSpec& s) { s.rules = {SplitRule::kQwen2}; });
  differs([](ByteBpeSpec& s) { s.rules = {}; });
  differs([](ByteBpeSpec& s) { s.control.push_back(256 + 2); });
  differs([](ByteBpeSpec& s) { s.tokens.back() = "<fool>"; });
  differs([](ByteBpeSpec& s) { s.tokens.emplace_back(); });
  differs([](ByteBpeSpec& s) { s.merges = {{"a", "b"}, {"a", "bc"}}; });
  differs([](ByteBpeSpec& s) { std::swap(s.merges[0], s.merges[1]); });
}

TEST(ByteBpe, LongWordsTakeLinearithmicTime) {
  ByteBpeSpec spec = spec_with({});
  // Doubling merges of "a", of the space and of U+0301's two bytes, twelve times each.
  for (const std::string& unit : {std::string("a"), std::string("Ġ"), encode_utf8({&byte_alphabet()[0xcc], 1})}) {
    std::string token = unit, right = unit;
    if (unit != "a" && unit != "Ġ") right = encode_utf8({&byte_alphabet()[0x81], 1});
    for (int level = 0; level < 12; ++level) {
      spec.tokens.push_back(token + right);
      spec.merges.emplace_back(token, right);
      token += right;
      right = token;
    }
  }
#if defined(NDEBUG)
  constexpr double kMostSeconds = 1.0;
#else  // under sanitizers as well
  constexpr double kMostSeconds = unless_sanitized(20.0, 2.0);
#endif
  constexpr std::size_t kBytes = unless_sanitized(1'000'000, 100'000);
  std::string marks, noise;
  for (std::size_t i = 0; i < kBytes / 2; ++i) marks += "\u0301";
  std::mt19937 random(3);
  for (std::size_t i = 0; i < kBytes; ++i) noise += static_cast<char>(random() % 256);
  const std::vector<std::vector<SplitRule>> cuts = {{}, {SplitRule::kLlama3}, {SplitRule::kDigits, SplitRule::kGpt2}};
  for (const auto& rules : cuts) {
    spec.rules = rules;
    const auto tokenizer = make_byte_bpe(spec, "here");
    const auto seconds = [&](const std::string& text) {
      const std::clock_t begin = std::clock();  // processor time: other programs do not count
      const Ids ids = tokenizer->encode(text);
      const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
      EXPECT_EQ(tokenizer->decode(ids), encode_utf8(decode_utf8(text)));
      return took;
    };
    EXPECT_LT(seconds(std::string(kBytes, 'a')), kMostSeconds);
    EXPECT_LT(seconds(std::string(kBytes, ' ')), kMostSeconds);
    EXPECT_LT(seconds(std::string(kBytes, '\n')), kMostSeconds);
    EXPECT_LT(seconds(std::string(kBytes, '7')), kMostSeconds);
    EXPECT_LT(seconds(std::string(kBytes, '\'')), kMostSeconds);
    EXPECT_LT(seconds(marks), kMostSeconds);
    EXPECT_LT(seconds(noise), kMostSeconds);
  }
}

TEST(ByteBpe, ManyThreadsShareOne) {
  ByteBpeSpec spec = spec_with({"he", "ll", "hell"});
  spec.merges = {{"h", "e"}, {"l", "l"}, {"he", "ll"}};
  const auto tokenizer = make_byte_bpe(spec, "here");
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (int i = 0; i < 200; ++i) {
    texts.push_back("hello hell " + std::to_string(i));
    expected.push_back(tokenizer->encode(texts.back()));
  }
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 10; ++round) {
        for (std::size_t i = 0; i < texts.size(); ++i) wrong[t] += tokenizer->encode(texts[i]) != expected[i];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace thinkrec
