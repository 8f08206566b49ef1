#include "synthesis/rounds.h"

#include <algorithm>

#include "core/error.h"
#include "synthesis/reply.h"

namespace thinkrec {

std::vector<ChatReply> ask_round(ChatBackend& backend, Journal& journal, std::span<const Question> questions,
                                 SynthesisCounts& counts) {
  std::vector<ChatReply> replies(questions.size());
  std::vector<ChatRequest> open;
  std::vector<std::size_t> place;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    std::string key = request_key(backend, questions[i].request, questions[i].turn);
    if (const ChatReply* known = journal.find(key)) {
      replies[i] = *known;
      ++counts.from_journal;
      continue;
    }
    open.push_back(questions[i].request);
    place.push_back(i);
    keys.push_back(std::move(key));
  }
  if (open.empty()) return replies;
  backend.ask(open, [&](std::size_t i, ChatReply reply) {
    ++counts.asked;
    if (reply.failure == ChatFailure::kNone) {
      separate_thinking(reply);
      journal.add(keys[i], reply);
    } else {
      ++counts.unanswered;
    }
    replies[place[i]] = std::move(reply);
  });
  return replies;
}

SynthesisFailure no_answer(std::string who, const ChatReply& reply) { return {std::move(who), reply.detail, ""}; }

void Reachability::check(std::span<const ChatReply> replies) {
  const bool none = std::ranges::all_of(replies, [](const ChatReply& reply) {
    return reply.failure == ChatFailure::kUnreachable || reply.failure == ChatFailure::kMalformed;
  });
  single_ = none && replies.size() == 1 ? single_ + 1 : 0;
  if (none && (replies.size() > 1 || single_ == 3))
    fail(ExitCode::kIo, "none of {} questions was answered ({}); what was answered before is kept, and the same command goes on",
         replies.size(), replies.back().detail);
}

}  // namespace thinkrec
