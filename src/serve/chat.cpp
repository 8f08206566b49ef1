#include "serve/chat.h"

#include "core/error.h"
#include "io/bounded_json.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 8;

/// Without the blanks around it.
std::string trimmed(const std::string& text) {
  const char* blanks = " \t\r\n";
  const auto first = text.find_first_not_of(blanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

const std::string& text_field(const Json& value, const char* what, const std::string& place) {
  if (!value.is_string()) fail(ExitCode::kBadData, "{}: {} is not a text", place, what);
  return value.get_ref<const std::string&>();
}

/// The last message, which the user must have said.
std::string question(const Json& json, const std::string& place) {
  const auto messages = json.find("messages");
  if (messages == json.end() || !messages->is_array() || messages->empty())
    fail(ExitCode::kBadData, "{}: 'messages' is not a list with a message", place);
  const Json& last = messages->back();
  if (!last.is_object() || !last.contains("role") || !last.contains("content") || last["role"] != "user")
    fail(ExitCode::kBadData, "{}: the last of 'messages' is not {{\"role\": \"user\", \"content\": ...}}", place);
  return trimmed(text_field(last["content"], "'content' of the last message", place));
}

}  // namespace

ChatRequest parse_chat_request(std::string_view text, const std::string& place, const std::string& model, const RankLimits& limits) {
  const Json json = parse_json_object(text, place, kDeepest);
  if (json.contains("stream") && json["stream"] != false && !json["stream"].is_null())
    fail(ExitCode::kBadData, "{}: 'stream' is not to be had: leave it out or make it false", place);
  if (json.contains("n") && json["n"] != 1 && !json["n"].is_null()) fail(ExitCode::kBadData, "{}: 'n' is not 1", place);
  if (json.contains("model") && text_field(json["model"], "'model'", place) != model)
    fail(ExitCode::kBadData, "{}: 'model' is not '{}', which is served here", place, model);
  const std::string said = question(json, place);
  const std::string user = json.contains("user") ? text_field(json["user"], "'user'", place) : "";

  ChatRequest request;
  request.json = said.starts_with('{');
  Json wanted = {{"user", user.empty() ? said : user}, {"explain", true}};
  if (request.json) {
    const std::string inside = place + ": 'content' of the last message";
    wanted = parse_json_object(said, inside, kDeepest);
    if (!wanted.contains("user") && !user.empty()) wanted["user"] = user;
    request.rank = parse_rank_request(wanted.dump(), inside, limits);
  } else {
    request.rank = parse_rank_request(wanted.dump(), place, limits);
  }
  return request;
}

std::string chat_content(const RankReply& reply, const ChatRequest& request) {
  if (request.json) return json_line(rank_reply_json(reply, request.rank.explain));
  std::string text;
  for (std::size_t i = 0; i < reply.items.size(); ++i) {
    const RankedItem& item = reply.items[i];
    text += fmt::format("{}{}. {} ({:.0f} %){}{}", i > 0 ? "\n" : "", i + 1, item.title, 100 * item.probability,
                        item.reason.empty() ? "" : ": ", item.reason);
  }
  return text;
}

nlohmann::ordered_json chat_completion(const std::string& id, std::int64_t created, const std::string& model, const std::string& content) {
  const nlohmann::ordered_json message = {{"role", "assistant"}, {"content", content}};
  return {{"id", id},
          {"object", "chat.completion"},
          {"created", created},
          {"model", model},
          {"choices", nlohmann::ordered_json::array({{{"index", 0}, {"message", message}, {"finish_reason", "stop"}}})}};
}

}  // namespace thinkrec
