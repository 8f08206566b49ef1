#include "train/scorer.h"

#include <ATen/ATen.h>

#include <limits>

#include "core/error.h"
#include "experts/balance.h"
#include "train/row_losses.h"

namespace thinkrec {
namespace {

/// Consecutive rows of one user, at most about `limit` tokens to compute: formed from the rows alone, so that no score depends on the
/// ranks. Where rows share what they begin with, a pack holds it once.
struct UserPack {
  std::size_t first, last;  ///< rows
  std::int64_t tokens;      ///< about how many are computed
};
std::vector<UserPack> packs_of_users(std::span<const EncodedRow> rows, std::span<const std::int32_t> user, std::int64_t limit,
                                     bool share) {
  std::vector<UserPack> packs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t length = rows[i].prompt_length;
    std::int64_t more = length;
    if (share && i > 0 && user[i] == user[i - 1]) {
      const RowToPack both[] = {{&rows[i - 1], rows[i - 1].prompt_length}, {&rows[i], length}};
      more = shared_length(both) - rows[i - 1].prompt_length;
    }
    if (i == 0 || user[i] != user[i - 1] || packs.back().tokens + more > limit) {
      packs.push_back({i, i + 1, length});
    } else {
      packs.back().last = i + 1;
      packs.back().tokens += more;
    }
  }
  return packs;
}

std::optional<LoraHook> hook_of(const LoraAdapter* adapter) {
  if (adapter == nullptr) return std::nullopt;
  return LoraHook(*adapter);
}

}  // namespace

std::int64_t scoring_tokens(std::int64_t micro_tokens, const Llama& model) {
  constexpr std::int64_t kMore = 4;  // without a gradient no layer keeps anything
  return model.device().is_cpu() ? kMore * micro_tokens : micro_tokens;
}

std::vector<std::vector<double>> Scorer::score(std::span<const EncodedRow> rows, std::span<const std::int32_t> user,
                                               const LoraAdapter* lower, std::int64_t cut, std::span<const TopAdapterOf> tops,
                                               const std::function<void(std::int64_t, std::int64_t)>& progress) const {
  const at::NoGradGuard no_grad;
  THINKREC_CHECK(rows.size() == user.size(), "{} rows, {} users", rows.size(), user.size());
  const bool share = model_.device().is_cpu();
  const auto packs = packs_of_users(rows, user, pass_tokens_, share);
  std::vector<std::int64_t> tokens;
  for (const UserPack& pack : packs) tokens.push_back(pack.tokens);
  const std::vector<int> owner = balance_rows(tokens, ranks_.size());
  const std::int64_t layers = model_.config().layers;
  const at::Tensor yes = model_.weights().head[yes_token_].to(at::kFloat);

  struct Score {
    std::int64_t row, top;
    double value;
  };
  std::vector<Score> own;
  std::int64_t done = 0, stopped = 0;
  for (std::size_t p = 0; p < packs.size(); ++p) {
    if (owner[p] != ranks_.rank()) continue;
    if (stop_ && stop_()) {
      stopped = 1;
      break;
    }
    const std::size_t first = packs[p].first, last = packs[p].last;
    std::vector<RowToPack> to_pack;
    for (std::size_t i = first; i < last; ++i) to_pack.push_back({&rows[i], rows[i].prompt_length, 0, share ? 0 : -1});
    const RowPack pack = pack_rows(to_pack);
    const PackedBatch& packed = pack.packed;
    std::vector<std::int64_t> answer;
    for (std::size_t i = first; i < last; ++i) answer.push_back(pack.place(i - first, rows[i].prompt_length - 1));
    const at::Tensor needed = at::tensor(answer).to(model_.device());
    at::Tensor hidden = model_.embed(packed, pack.slots.empty() ? at::Tensor() : features_->project(projector_, pack.slots));
    if (cut > 0) {
      const auto hook = hook_of(lower);
      hidden = model_.layers(hidden, packed, 0, cut, hook ? &*hook : nullptr);
    }
    for (std::size_t t = 0; t < tops.size(); ++t) {
      if (t > 0 && stop_ && stop_()) {
        stopped = 1;
        break;
      }
      const TopAdapter top = tops[t](user[first]);
      if (!top.wanted) continue;
      const auto hook = hook_of(top.adapter);
      const at::Tensor read = model_.layers(hidden, packed, cut, layers, hook ? &*hook : nullptr, needed);
      const at::Tensor logit = at::mv(model_.final_norm(read).to(at::kFloat), yes).to(at::kCPU, at::kDouble);
      for (std::size_t i = first; i < last; ++i) {
        own.push_back({static_cast<std::int64_t>(i), static_cast<std::int64_t>(t),
                       logit[static_cast<std::int64_t>(i - first)].item<double>()});
      }
    }
    if (stopped != 0) break;
    ranks_.note_progress();
    done += static_cast<std::int64_t>(last - first);
    if (progress) progress(done, static_cast<std::int64_t>(rows.size()));
  }
  if (stop_) {
    ranks_.all_reduce_max(std::span(&stopped, 1));
    if (stopped != 0) fail(ExitCode::kStopped, "stopped on request while rows were scored; the same command scores them anew");
  }
  std::vector<std::vector<double>> scores(tops.size(),
                                          std::vector<double>(rows.size(), std::numeric_limits<double>::quiet_NaN()));
  for (const Score& score : all_gather_values<Score>(ranks_, own)) {
    scores[static_cast<std::size_t>(score.top)][static_cast<std::size_t>(score.row)] = score.value;
  }
  return scores;
}

std::vector<double> Scorer::score(std::span<const EncodedRow> rows, std::span<const std::int32_t> user,
                                  const LoraAdapter* adapter,
                                  const std::function<void(std::int64_t, std::int64_t)>& progress) const {
  const TopAdapterOf everyone = [adapter](std::int32_t) { return TopAdapter{true, adapter}; };
  return score(rows, user, nullptr, 0, std::span(&everyone, 1), progress)[0];
}

}  // namespace thinkrec
