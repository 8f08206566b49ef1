#pragma once
// Whoever answers: the local model (train/local_chat.h) or an OpenAI-compatible endpoint (synthesis/openai.h).

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace thinkrec {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant"
  std::string text;  ///< plain text, whatever it looks like
};

struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::int64_t max_tokens = 256;  ///< of the reply
  std::uint64_t sample = 0;       ///< keys the randomness of a reply that is drawn
  /// The reply begins with one of these, whichever the model chooses at their first token, which tells them apart; empty: as it
  /// likes. Only the local model is held to it.
  std::vector<std::string> openings{};
};

/// Why a request has no reply. It may be asked again in a later run.
enum class ChatFailure : std::uint8_t {
  kNone,
  kUnreachable,  ///< no answer after all retries
  kRefused,      ///< this request is not answered (too long, not allowed)
  kMalformed,    ///< an answer that is none, after all retries
  kTooLarge,     ///< an answer beyond the bound
};

struct ChatReply {
  std::string text;      ///< valid UTF-8; may be empty
  std::string thinking;  ///< what the model thought before it, where it says so
  bool cut = false;      ///< it ended at max_tokens
  ChatFailure failure = ChatFailure::kNone;
  std::string detail{};  ///< of a failure, one line
};

class ChatBackend {
 public:
  virtual ~ChatBackend() = default;
  /// What the provenance of a reply names: an endpoint's model, or the first half of the hash of a local one.
  virtual std::string model() const = 0;
  /// Everything else that a reply depends on (temperature, seed), as a text that changes with it.
  virtual std::string settings() const = 0;
  /// Conversations that are worth being asked at once.
  virtual std::int64_t batch() const = 0;
  /// Answers every request, in any order; `answered(i, reply)` as each reply or failure comes. Error when none will ever be answered
  /// (key refused, no such model).
  virtual void ask(std::span<const ChatRequest> requests, const std::function<void(std::size_t, ChatReply)>& answered) = 0;
};

}  // namespace thinkrec
