#pragma once
// Ranking metrics over scored rows, as ThinkRec and its baselines report them: AUC, UAUC, NDCG@k and MAP@k.

#include <cstdint>
#include <vector>

namespace thinkrec {

/// Parallel arrays, one element a row, in any order. Infinite scores rank first or last; NaN is refused.
struct ScoredRows {
  std::vector<std::int32_t> user;
  std::vector<std::uint8_t> label;  ///< 0 or 1
  std::vector<double> score;        ///< higher means more likely liked
};

/// A metric that is not defined for the rows is NaN: AUC without both classes, UAUC without a user who has both, NDCG and MAP
/// without a user who has two rows.
struct RankingMetrics {
  double auc, uauc, ndcg, map;
  std::int64_t rows, users;
  std::int64_t users_ranked;  ///< with at least 2 rows: those in NDCG and MAP
  std::int64_t users_uauc;    ///< with both classes: those in UAUC
};

/// AUC: over all rows, the chance that a positive row scores above a negative one, ties counting 1/2.
/// UAUC: unweighted mean of the AUC of each user who has both classes.
/// NDCG@k: gain = label, discount 1 / log2(rank + 1), over the user's own ideal order; a user without positives counts 0.
/// MAP@k: sum over the first k ranks of precision@rank * label, divided by all positives of the user (not by min(k, positives));
/// no positives: 0. Both are means over users with at least 2 rows.
/// Ties: NDCG and MAP are their expected values over the random orders of tied rows, in closed form, so that neither the order of
/// the rows nor a sorting algorithm decides. Results do not depend on the order of the rows in any bit. Error: kConfig for k < 1;
/// kDiverged for a NaN score; kInternal for arrays of unequal length or a label that is not 0 or 1.
RankingMetrics ranking_metrics(const ScoredRows& rows, int k);

/// What models are chosen by on valid rows: AUC / 4 + UAUC / 3; a metric that rows of one class leave undefined
/// counts as a half.
double selection_score(const RankingMetrics& metrics);

}  // namespace thinkrec
