#pragma once
// What is asked of a recommender and what it answers, as thinkrec_serve and thinkrec_recommend --users speak it.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thinkrec {

struct RankRequest {
  std::string id;                       ///< of the caller's choice, given back; may be empty
  std::string user;                     ///< as in the raw data
  std::vector<std::string> candidates;  ///< item ids; empty: what the encoder proposes
  std::int64_t top = 5;
  bool explain = false;
};

struct RankedItem {
  std::string id, title;
  double score = 0;        ///< the raw Yes logit, and of a calibrated run the encoder's logit times its weight added
  double probability = 0;  ///< sigmoid(score)
  std::string reason{};    ///< with explain
};

enum class RankStatus { kOk, kUnknownUser, kUnknownItem };

struct RankReply {
  std::string id, user;  ///< of the request
  RankStatus status = RankStatus::kOk;
  std::string error{};  ///< unless kOk
  std::vector<RankedItem> items{};
  std::string decision{};         ///< "global", "expert" or "merged experts"
  std::vector<double> weights{};  ///< of the experts, sum 1
};

class RankingBackend {
 public:
  virtual ~RankingBackend() = default;
  /// One reply a request, in their order. Called by one thread at a time. A request that cannot be answered has a status of its own;
  /// what is thrown fails the whole call.
  virtual std::vector<RankReply> rank(std::span<const RankRequest> requests) = 0;
};

struct RankLimits {
  std::int64_t top = 1000;
  std::int64_t reasons = 1000;  ///< items that one request may have explained
  std::size_t candidates = 1000;
  std::size_t text = 256;  ///< bytes of an id
};

/// {"user": ..., "candidates": [...], "top": k, "explain": true, "id": ...}; all but user may be missing. Error kBadData naming `place` and
/// the field: not such an object, an unknown field (the nearest name suggested), a value of another type or out of bounds.
RankRequest parse_rank_request(std::string_view json, const std::string& place, const RankLimits& limits = {});

/// {"user", "items": [{"id", "title", "score", "probability", "reason"}], "gate": {"decision", "weights"}}, "id" before them where there is
/// one and "reason" with explain; {"user", "error"} unless kOk.
nlohmann::ordered_json rank_reply_json(const RankReply& reply, bool explain);

/// One line; what is no UTF-8 is replaced.
std::string json_line(const nlohmann::ordered_json& json);

}  // namespace thinkrec
