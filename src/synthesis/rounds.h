#pragma once
// What making keywords and making reasons share: a round of questions, answered from the journal where it has the reply.

#include <span>
#include <string>
#include <vector>

#include "synthesis/failures.h"
#include "synthesis/journal.h"

namespace thinkrec {

struct Question {
  ChatRequest request;
  std::int64_t turn = 1;  ///< how often this row or item has been asked about, with this
};

/// What both kinds of synthesis count.
struct SynthesisCounts {
  std::int64_t asked = 0;         ///< replies or failures from the backend
  std::int64_t from_journal = 0;  ///< replies that an earlier run had got
  std::int64_t unanswered = 0;    ///< failures of the backend
};

/// A reply or failure for each question. Replies are in the journal when this returns, also when it throws what the backend throws.
std::vector<ChatReply> ask_round(ChatBackend& backend, Journal& journal, std::span<const Question> questions,
                                 SynthesisCounts& counts);

/// The failure of a reply, for the list.
SynthesisFailure no_answer(std::string who, const ChatReply& reply);

/// Ends work that nobody answers, as asking about more would not help.
class Reachability {
 public:
  /// Error kIo naming the last detail when no question of this round was answered (unreachable, or answers that are none), or of the last
  /// three rounds where each was a single one: that may be the question's fault.
  void check(std::span<const ChatReply> replies);

 private:
  int single_ = 0;  // rounds in a row of one question without an answer
};

}  // namespace thinkrec
