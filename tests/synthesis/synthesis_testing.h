#pragma once
// A small data set, and a backend that says what a test wants.

#include <fmt/format.h>

#include "data/dataset.h"
#include "synthesis/chat.h"

namespace thinkrec {

/// One user with 20 train rows, liked and disliked by turns, then one valid and one test row; 22 films, the first half with keywords.
inline Dataset films() {
  Dataset data;
  data.name = "films";
  data.noun = {"film", "films"};
  data.source_hash = "0";
  data.users = {"u"};
  for (std::int32_t i = 0; i < 22; ++i) {
    data.items.push_back(
        {fmt::format("i{}", i), fmt::format("Film {}", i), i < 11 ? "drama" : "", i == 20 ? "Category: War." : ""});
    data.user.push_back(0);
    data.item.push_back(i);
    data.label.push_back(static_cast<std::uint8_t>(i % 2));
    data.timestamp.push_back(i);
    if (i < 20) data.splits[0].push_back(i);
  }
  data.user_begin = {0, 22};
  data.splits[1] = {20};
  data.splits[2] = {21};
  return data;
}

/// Answers by a function of the request; remembers what it was asked.
class ScriptedChat : public ChatBackend {
 public:
  using Script = std::function<ChatReply(const ChatRequest&)>;
  explicit ScriptedChat(Script script, std::int64_t batch = 4) : script_(std::move(script)), batch_(batch) {}
  std::string model() const override { return name; }
  std::string settings() const override { return "scripted"; }
  std::int64_t batch() const override { return batch_; }
  void ask(std::span<const ChatRequest> requests, const std::function<void(std::size_t, ChatReply)>& answered) override {
    for (std::size_t i = requests.size(); i-- > 0;) {  // in no order to rely on
      asked.push_back(requests[i]);
      answered(i, script_(requests[i]));
    }
  }

  std::string name = "a-model";
  std::vector<ChatRequest> asked;

 private:
  Script script_;
  std::int64_t batch_;
};

inline ChatReply says(std::string text) {
  ChatReply reply;
  reply.text = std::move(text);
  return reply;
}

inline ChatReply fails(ChatFailure failure, std::string detail) {
  ChatReply reply;
  reply.failure = failure;
  reply.detail = std::move(detail);
  return reply;
}

}  // namespace thinkrec
