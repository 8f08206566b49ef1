#pragma once
// Raw Yes logits of many rows (paper, Eq. 6), shared over ranks, with the lower layers computed once for all adapters that share them.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "adapters/lora.h"
#include "adapters/projector.h"
#include "comm/collectives.h"
#include "model/llama.h"
#include "train/features.h"

namespace thinkrec {

/// The adapter of layers >= cut for a user: none (the base model's own projections), one, or "do not score" (the score is NaN).
struct TopAdapter {
  bool wanted = true;
  const LoraAdapter* adapter = nullptr;
};
using TopAdapterOf = std::function<TopAdapter(std::int32_t user)>;

/// Tokens of a pass where nothing is trained beside the scoring: where rows share what they begin with, which is computed once a pass, four
/// times run.micro_tokens.
std::int64_t scoring_tokens(std::int64_t micro_tokens, const Llama& model);

class Scorer {
 public:
  /// `features` may be null when no row has slots. A pass holds rows of one user, at most about `pass_tokens`.
  Scorer(const Llama& model, const Projector& projector, const FeatureBank* features, std::int32_t yes_token,
         std::int64_t pass_tokens, Collectives& ranks)
      : model_(model),
        projector_(projector),
        features_(features),
        yes_token_(yes_token),
        pass_tokens_(pass_tokens),
        ranks_(ranks) {}

  /// From now on scoring ends with kStopped, on every rank, once `asked` says so on one of them; it is asked between passes, and
  /// within one before each top but the first.
  /// A rank that is not asked itself, as by a signal to one rank alone, scores its own share first.
  void stop_when(std::function<bool()> asked) { stop_ = std::move(asked); }

  /// Scores of each row under each top, [tops][rows]; the same on every rank and for any number of ranks. Layers below `cut` run once,
  /// with `lower` (null: no adapter). `user` [rows]; rows of a user should stand together. `progress(done, all)` is called on this rank.
  std::vector<std::vector<double>> score(std::span<const EncodedRow> rows, std::span<const std::int32_t> user,
                                         const LoraAdapter* lower, std::int64_t cut, std::span<const TopAdapterOf> tops,
                                         const std::function<void(std::int64_t, std::int64_t)>& progress = {}) const;

  /// One adapter for everyone (null: the untouched base model).
  std::vector<double> score(std::span<const EncodedRow> rows, std::span<const std::int32_t> user, const LoraAdapter* adapter,
                            const std::function<void(std::int64_t, std::int64_t)>& progress = {}) const;

 private:
  const Llama& model_;
  const Projector& projector_;
  const FeatureBank* features_;
  std::int32_t yes_token_;
  std::int64_t pass_tokens_;
  Collectives& ranks_;
  std::function<bool()> stop_;
};

}  // namespace thinkrec
