#include "serve/ranking.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/options.h"
#include "io/bounded_json.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 8;

std::string id_text(const Json& value, const std::string& what, const std::string& place, std::size_t most) {
  if (!value.is_string()) fail(ExitCode::kBadData, "{}: {} is not a text", place, what);
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) fail(ExitCode::kBadData, "{}: {} is empty", place, what);
  if (text.size() > most) fail(ExitCode::kBadData, "{}: {} is longer than {} bytes", place, what, most);
  return text;
}

}  // namespace

RankRequest parse_rank_request(std::string_view text, const std::string& place, const RankLimits& limits) {
  static const std::array<std::string, 5> kFields = {"id", "user", "candidates", "top", "explain"};
  const Json json = parse_json_object(text, place, kDeepest);
  for (const auto& [key, value] : json.items()) {
    if (std::find(kFields.begin(), kFields.end(), key) == kFields.end()) {
      const std::string shown = key.size() > limits.text ? "of " + std::to_string(key.size()) + " bytes" : in_quotes(key);
      fail(ExitCode::kBadData, "{}: unknown field {}{}", place, shown, key.size() > 64 ? "" : suggestion(key, kFields));
    }
  }
  RankRequest request;
  if (!json.contains("user")) fail(ExitCode::kBadData, "{}: 'user' is missing: {{\"user\": \"42\", \"top\": 5}}", place);
  request.user = id_text(json["user"], "'user'", place, limits.text);
  if (json.contains("id")) request.id = id_text(json["id"], "'id'", place, limits.text);
  if (json.contains("candidates")) {
    const Json& candidates = json["candidates"];
    if (!candidates.is_array()) fail(ExitCode::kBadData, "{}: 'candidates' is not a list of item ids", place);
    if (candidates.size() > limits.candidates)
      fail(ExitCode::kBadData, "{}: 'candidates' has {} items, more than {}", place, candidates.size(), limits.candidates);
    for (std::size_t i = 0; i < candidates.size(); ++i)
      request.candidates.push_back(id_text(candidates[i], fmt::format("'candidates[{}]'", i), place, limits.text));
  }
  if (json.contains("top")) {
    const Json& top = json["top"];
    const bool inside = top.is_number_unsigned() && top.get<std::uint64_t>() >= 1 &&
                        top.get<std::uint64_t>() <= static_cast<std::uint64_t>(limits.top);
    if (!inside) fail(ExitCode::kBadData, "{}: 'top' is not an integer in [1, {}]", place, limits.top);
    request.top = top.get<std::int64_t>();
  }
  if (json.contains("explain")) {
    if (!json["explain"].is_boolean()) fail(ExitCode::kBadData, "{}: 'explain' is neither true nor false", place);
    request.explain = json["explain"].get<bool>();
  }
  if (request.explain && !json.contains("top")) request.top = std::min(request.top, limits.reasons);
  const std::int64_t most = request.candidates.empty() ? request.top : static_cast<std::int64_t>(request.candidates.size());
  if (request.explain && std::min(request.top, most) > limits.reasons)
    fail(ExitCode::kBadData, "{}: 'top' is {}, and 'explain' is for at most {} items", place, request.top, limits.reasons);
  return request;
}

nlohmann::ordered_json rank_reply_json(const RankReply& reply, bool explain) {
  nlohmann::ordered_json out;
  if (!reply.id.empty()) out["id"] = reply.id;
  out["user"] = reply.user;
  if (reply.status != RankStatus::kOk) {
    out["error"] = reply.error;
    return out;
  }
  out["items"] = nlohmann::ordered_json::array();
  for (const RankedItem& item : reply.items) {
    nlohmann::ordered_json shown = {
        {"id", item.id}, {"title", item.title}, {"score", item.score}, {"probability", item.probability}};
    if (explain) shown["reason"] = item.reason;
    out["items"].push_back(std::move(shown));
  }
  out["gate"] = {{"decision", reply.decision}, {"weights", reply.weights}};
  return out;
}

std::string json_line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace thinkrec
