#pragma once
// Items ranked for users by a finished run, with reasons: what thinkrec_recommend and thinkrec_serve answer with.

#include <map>
#include <string>
#include <vector>

#include "serve/ranking.h"
#include "train/evaluate.h"
#include "train/reason_writer.h"
#include "train/stages.h"

namespace thinkrec {

struct RecommenderConfig {
  std::int64_t pool = 20;                  ///< items that the encoder proposes when a request names none
  std::int64_t max_new_tokens = 96;        ///< of a reason
  Precision precision = Precision::kFp32;  ///< of the passes that write reasons; scores are fp32 always
};

class Recommender : public RankingBackend {
 public:
  /// Session and state must outlive it. kConfig for 8 bits on a GPU.
  Recommender(const Session& session, const RunState& state, const RecommenderConfig& config);
  /// Requests share one pass through the layers that all adapters share; each user's own adapter does the rest. An unknown user or item is
  /// that reply's status. Errors as PromptBuilder and Scorer.
  std::vector<RankReply> rank(std::span<const RankRequest> requests) override;

 private:
  struct Known;  // a request whose user and items the data has
  std::vector<std::int32_t> proposed(const Known& known, const Dataset& open, const at::Tensor& item_vectors) const;

  const Session& session_;
  const RunState& state_;
  RecommenderConfig config_;
  std::map<std::string, std::int64_t> user_;
  std::map<std::string, std::int32_t> item_;
  FusedAdapters fused_;
  ReasonWriter writer_;
};

}  // namespace thinkrec
