#pragma once
// Bootstrap intervals of the ranking metrics: users are drawn with replacement, since the rows of one user are not independent.

#include <cstdint>
#include <span>
#include <vector>

#include "eval/metrics.h"

namespace thinkrec {

struct Interval {
  double low, high;
};

struct MetricIntervals {
  Interval auc, uauc, ndcg, map;
};

/// How often each of `users` users is drawn in resample number `resample`: `users` draws, each a pure function of
/// (seed, resample, draw).
std::vector<std::int32_t> resample_weights(std::uint64_t seed, std::int64_t resample, std::int64_t users);

/// The middle `level` of the values, linear between order statistics, as numpy.percentile; NaNs are left out, and with none left it is
/// [NaN, NaN].
Interval percentile_interval(std::vector<double> values, double level = 0.95);

/// Percentile intervals of coverage `level`, as percentile_interval. A user drawn twice counts as
/// two users. Resamples in which a metric is not defined are left out of its interval; with none left it is [NaN, NaN]. One sort
/// of the rows, then O(rows) a resample; the result does not depend on threads or on the order of the rows. Errors as
/// ranking_metrics, and kConfig for resamples < 1 or a level outside (0, 1).
MetricIntervals user_bootstrap(const ScoredRows& rows, int k, int resamples, std::uint64_t seed, double level = 0.95);

/// a - b.
struct PairedDifference {
  double auc, uauc, ndcg, map;
  MetricIntervals interval;
};

/// Two models on the same rows, element by element, resampled alike: the interval of the difference, which is far narrower than
/// those of the models. Errors as user_bootstrap, and kInternal when users or labels differ.
PairedDifference paired_bootstrap(const ScoredRows& a, const ScoredRows& b, int k, int resamples, std::uint64_t seed,
                                  double level = 0.95);

/// Percentile interval of the mean of `value` over rows (of `user`, in any order), the users drawn as by user_bootstrap. The difference of
/// two means over the same rows is the mean of the differences. kConfig as user_bootstrap; kInternal without rows or for other lengths.
Interval mean_interval(std::span<const double> value, std::span<const std::int32_t> user, int resamples, std::uint64_t seed,
                       double level = 0.95);

}  // namespace thinkrec
