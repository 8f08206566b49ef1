#pragma once
// Chat with a model on this machine, in the model's own layout of turns (ChatML, Llama 3, else plain "role: text").

#include <cstdint>
#include <string>
#include <vector>

#include "model/llama.h"
#include "model/sampling.h"
#include "synthesis/chat.h"
#include "text/tokenizer.h"

namespace thinkrec {

/// A conversation laid out as the model's chat format, ready for the assistant. Special tokens come from the layout alone: whatever the
/// messages look like, they are encoded as plain text.
std::vector<std::int32_t> chat_tokens(const Tokenizer& tokenizer, const std::vector<ChatMessage>& turns);
/// Tokens that end an assistant's turn in that format.
std::vector<std::int32_t> chat_stops(const Tokenizer& tokenizer);

struct LocalChatConfig {
  std::int64_t batch = 8;  ///< conversations generated at once
  double temperature = 0;  ///< 0: the likeliest token each time
  std::uint64_t seed = 0;
  std::vector<std::int32_t> ends{};  ///< tokens that end a reply, beside the tokenizer's and the chat format's
};

/// Refers to model and tokenizer, which must live as long. A reply has no kProseNgram tokens in a row twice.
class LocalChat : public ChatBackend {
 public:
  LocalChat(const Llama& model, std::string model_hash, const Tokenizer& tokenizer, const LocalChatConfig& config);
  std::string model() const override;
  std::string settings() const override;
  std::int64_t batch() const override { return config_.batch; }
  void ask(std::span<const ChatRequest> requests, const std::function<void(std::size_t, ChatReply)>& answered) override;

 private:
  GenerateConfig settings_of(const ChatRequest& request) const;
  /// Those from `begin` to `end`, at once.
  void answer(std::span<const ChatRequest> requests, std::size_t begin, std::size_t end,
              const std::function<void(std::size_t, ChatReply)>& answered);

  const Llama& model_;
  std::string model_hash_;
  const Tokenizer& tokenizer_;
  LocalChatConfig config_;
};

}  // namespace thinkrec
