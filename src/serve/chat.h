#pragma once
// Ranking with reasons for clients that speak OpenAI's chat completions. docs/serving.md says what is read and what is not.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "serve/ranking.h"

namespace thinkrec {

struct ChatRequest {
  RankRequest rank;
  bool json = false;  ///< the message was a request in JSON, and so is the answer; else it is text
};

/// {"model": ..., "user": ..., "messages": [..., {"role": "user", "content": ...}], ...}. The content of the last message is a request as
/// parse_rank_request reads it ("user" may stand outside), or any text: then the best five items for "user", with reasons; without "user" the
/// text is the user's id. Other fields of the API are not read, but "stream" must not be true and "n" not above 1. Error kBadData naming
/// `place` and the field; also for a "model" other than `model`.
ChatRequest parse_chat_request(std::string_view json, const std::string& place, const std::string& model, const RankLimits& limits = {});

/// The content of the answer: the reply in JSON, or a numbered line an item.
std::string chat_content(const RankReply& reply, const ChatRequest& request);

/// A chat completion; `created` in seconds since 1970.
nlohmann::ordered_json chat_completion(const std::string& id, std::int64_t created, const std::string& model, const std::string& content);

}  // namespace thinkrec
