#include "eval/user_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

/// Rows of equal score.
struct TieBlock {
  std::int64_t rows, positives;
};

/// NDCG and MAP of one user; `blocks` from the highest score down.
UserMetrics metrics_of_user(std::span<const TieBlock> blocks, int k) {
  std::int64_t rows = 0, positives = 0;
  for (const TieBlock& block : blocks) {
    rows += block.rows;
    positives += block.positives;
  }
  const std::int64_t negatives = rows - positives;
  UserMetrics out{kUndefined, kUndefined, kUndefined};
  if (rows < 2) return out;
  if (positives > 0 && negatives > 0) {
    std::int64_t twice_wins = 0,
                 positives_above = 0;  // pairs won by the positive row, times two, so that a tie is a whole number
    for (const TieBlock& block : blocks) {
      const std::int64_t block_negatives = block.rows - block.positives;
      twice_wins += block_negatives * (2 * positives_above + block.positives);
      positives_above += block.positives;
    }
    out.auc = static_cast<double>(twice_wins) / (2.0 * static_cast<double>(positives) * static_cast<double>(negatives));
  }
  double gain = 0, precision = 0;
  std::int64_t rank = 0;
  std::int64_t hits = 0;  // positives above the block
  for (const TieBlock& block : blocks) {
    if (rank >= k) break;
    // At any place of the block, over the random orders of its members: the chance of a positive, and, given one, the chance of
    // another one at any other place.
    const double chance = static_cast<double>(block.positives) / static_cast<double>(block.rows);
    const double other = block.rows > 1 ? static_cast<double>(block.positives - 1) / static_cast<double>(block.rows - 1) : 0.0;
    for (std::int64_t place = 0; place < block.rows && rank < k; ++place) {
      ++rank;
      gain += chance / std::log2(static_cast<double>(rank) + 1);
      precision += chance * (static_cast<double>(hits) + 1 + static_cast<double>(place) * other) / static_cast<double>(rank);
    }
    hits += block.positives;
  }
  double ideal = 0;
  for (std::int64_t r = 1; r <= std::min<std::int64_t>(positives, k); ++r) ideal += 1 / std::log2(static_cast<double>(r) + 1);
  out.ndcg = positives > 0 ? gain / ideal : 0;
  out.map = positives > 0 ? precision / static_cast<double>(positives) : 0;
  return out;
}

void check_rows(const ScoredRows& rows, int k) {
  if (k < 1) fail(ExitCode::kConfig, "metrics: k = {} is not a rank to cut at; it starts at 1", k);
  THINKREC_CHECK(rows.user.size() == rows.score.size() && rows.label.size() == rows.score.size(),
                 "{} users, {} labels, {} scores", rows.user.size(), rows.label.size(), rows.score.size());
  for (std::size_t i = 0; i < rows.score.size(); ++i) {
    THINKREC_CHECK(rows.label[i] <= 1, "row {}: label {}", i, rows.label[i]);
    if (std::isnan(rows.score[i])) {
      fail(ExitCode::kDiverged, "metrics: the score of row {} (user {}) is NaN; the model that made it has diverged", i,
           rows.user[i]);
    }
  }
}

}  // namespace

UserTable::UserTable(const ScoredRows& rows, int k) {
  check_rows(rows, k);
  const std::size_t n = rows.score.size();
  std::vector<std::int32_t> ids = rows.user;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::vector<std::int32_t> user_of_row(n);
  for (std::size_t i = 0; i < n; ++i) {
    user_of_row[i] = static_cast<std::int32_t>(std::lower_bound(ids.begin(), ids.end(), rows.user[i]) - ids.begin());
  }

  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rows.score[a] < rows.score[b]; });
  user_.resize(n);
  label_.resize(n);
  last_of_block_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    user_[i] = user_of_row[order[i]];
    label_[i] = rows.label[order[i]];
    last_of_block_[i] = i + 1 == n || rows.score[order[i]] != rows.score[order[i + 1]] ? 1 : 0;
  }

  // Each user's rows, the highest score first: a counting sort of the sorted rows by user.
  std::vector<std::vector<TieBlock>> blocks(ids.size());
  std::vector<double> block_score(ids.size());
  for (std::size_t i = n; i-- > 0;) {
    const auto u = static_cast<std::size_t>(user_[i]);
    const double score = rows.score[order[i]];
    if (blocks[u].empty() || block_score[u] != score) {
      blocks[u].push_back({0, 0});
      block_score[u] = score;
    }
    ++blocks[u].back().rows;
    blocks[u].back().positives += label_[i];
  }
  for (const auto& user_blocks : blocks) {
    of_user_.push_back(metrics_of_user(user_blocks, k));
    users_ranked_ += std::isnan(of_user_.back().ndcg) ? 0 : 1;
    users_uauc_ += std::isnan(of_user_.back().auc) ? 0 : 1;
  }
}

double UserTable::weighted_auc(std::span<const std::int32_t> weight) const {
  // Whole numbers throughout, so that the result is exact up to 2^62 pairs: two thousand million rows.
  std::int64_t twice_wins = 0, positives = 0, negatives = 0, block_positives = 0, block_negatives = 0;
  for (std::size_t i = 0; i < label_.size(); ++i) {
    const std::int64_t w = weight[static_cast<std::size_t>(user_[i])];
    block_positives += label_[i] != 0 ? w : 0;
    block_negatives += label_[i] != 0 ? 0 : w;
    if (last_of_block_[i] == 0) continue;
    twice_wins += block_positives * (2 * negatives + block_negatives);
    positives += block_positives;
    negatives += block_negatives;
    block_positives = block_negatives = 0;
  }
  if (positives == 0 || negatives == 0) return kUndefined;
  return static_cast<double>(twice_wins) / (2.0 * static_cast<double>(positives) * static_cast<double>(negatives));
}

RankingMetrics UserTable::weighted(std::span<const std::int32_t> weight) const {
  THINKREC_CHECK(static_cast<std::int64_t>(weight.size()) == users(), "{} weights, {} users", weight.size(), users());
  double auc = 0, ndcg = 0, map = 0;
  std::int64_t with_auc = 0, ranked = 0;
  for (std::size_t u = 0; u < weight.size(); ++u) {
    const UserMetrics& own = of_user_[u];
    const double w = weight[u];
    if (!std::isnan(own.auc)) {
      auc += w * own.auc;
      with_auc += weight[u];
    }
    if (!std::isnan(own.ndcg)) {
      ndcg += w * own.ndcg;
      map += w * own.map;
      ranked += weight[u];
    }
  }
  const auto mean = [](double sum, std::int64_t count) { return count > 0 ? sum / static_cast<double>(count) : kUndefined; };
  return {weighted_auc(weight), mean(auc, with_auc), mean(ndcg, ranked), mean(map, ranked), rows(), users(),
          users_ranked_,        users_uauc_};
}

}  // namespace thinkrec
