#include "eval/bootstrap.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "eval/baselines.h"
#include "support/testing.h"
#include "eval/ml1m.h"

namespace thinkrec {
namespace {

using thinkrec::testing::expect_error;

ScoredRows random_rows(std::uint64_t seed, int rows, int users, double signal = 1) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  ScoredRows out;
  for (int i = 0; i < rows; ++i) {
    out.user.push_back(static_cast<std::int32_t>(engine() % static_cast<std::uint64_t>(users)));
    out.label.push_back(static_cast<std::uint8_t>(engine() % 2));
    out.score.push_back(std::round(4 * (normal(engine) + signal * out.label.back())) / 4);  // with ties
  }
  return out;
}

/// The rows of the users drawn, each draw as a user of its own.
ScoredRows drawn_rows(const ScoredRows& rows, const std::vector<std::int32_t>& weight) {
  std::vector<std::int32_t> ids = rows.user;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  ScoredRows out;
  std::int32_t name = 0;
  for (std::size_t u = 0; u < ids.size(); ++u) {
    for (std::int32_t copy = 0; copy < weight[u]; ++copy, ++name) {
      for (std::size_t i = 0; i < rows.user.size(); ++i) {
        if (rows.user[i] != ids[u]) continue;
        out.user.push_back(name);
        out.label.push_back(rows.label[i]);
        out.score.push_back(rows.score[i]);
      }
    }
  }
  return out;
}

/// numpy.percentile of the values that are defined.
Interval percentiles(std::vector<double> values, double level) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const double below = std::floor(place);
    const auto i = static_cast<std::size_t>(below);
    return values[i] + (i + 1 < values.size() ? (place - below) * (values[i + 1] - values[i]) : 0);
  };
  return {at((1 - level) / 2), at((1 + level) / 2)};
}

void expect_near(const Interval& a, const Interval& b, double tolerance) {
  EXPECT_NEAR(a.low, b.low, tolerance);
  EXPECT_NEAR(a.high, b.high, tolerance);
}

void expect_same(const MetricIntervals& a, const MetricIntervals& b) {
  for (const auto& [x, y] : {std::pair{a.auc, b.auc}, {a.uauc, b.uauc}, {a.ndcg, b.ndcg}, {a.map, b.map}}) {
    EXPECT_EQ(x.low, y.low);
    EXPECT_EQ(x.high, y.high);
  }
}

TEST(ResampleWeights, DrawUsersUniformlyAndApart) {
  std::vector<std::int64_t> total(10, 0);
  for (int resample = 0; resample < 4000; ++resample) {
    const auto weight = resample_weights(5, resample, 10);
    ASSERT_EQ(std::accumulate(weight.begin(), weight.end(), 0), 10);
    for (std::size_t u = 0; u < 10; ++u) total[u] += weight[u];
  }
  for (const std::int64_t count : total) EXPECT_NEAR(static_cast<double>(count), 4000, 5 * std::sqrt(4000 * 0.9));
  EXPECT_EQ(resample_weights(5, 3, 50), resample_weights(5, 3, 50));
  EXPECT_NE(resample_weights(5, 3, 50), resample_weights(5, 4, 50));
  EXPECT_NE(resample_weights(5, 3, 50), resample_weights(6, 3, 50));
  EXPECT_TRUE(resample_weights(5, 3, 0).empty());
}

TEST(UserBootstrap, IsTheDefinition) {
  constexpr int kResamples = 60;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const int users = 3 + static_cast<int>(seed) * 4;
    const ScoredRows rows = random_rows(seed, 12 * users, users);
    std::vector<double> auc, uauc, ndcg, map;
    for (int resample = 0; resample < kResamples; ++resample) {
      const RankingMetrics metrics = ranking_metrics(drawn_rows(rows, resample_weights(seed, resample, users)), 4);
      auc.push_back(metrics.auc);
      uauc.push_back(metrics.uauc);
      ndcg.push_back(metrics.ndcg);
      map.push_back(metrics.map);
    }
    const MetricIntervals intervals = user_bootstrap(rows, 4, kResamples, seed, 0.9);
    expect_near(intervals.auc, percentiles(auc, 0.9), 1e-13);
    expect_near(intervals.uauc, percentiles(uauc, 0.9), 1e-13);
    expect_near(intervals.ndcg, percentiles(ndcg, 0.9), 1e-13);
    expect_near(intervals.map, percentiles(map, 0.9), 1e-13);
  }
}

TEST(UserBootstrap, ThreadsAndOrderOfRowsDoNotMatter) {
  const ScoredRows rows = random_rows(4, 300, 23);
  ScoredRows reversed = rows;
  std::reverse(reversed.user.begin(), reversed.user.end());
  std::reverse(reversed.label.begin(), reversed.label.end());
  std::reverse(reversed.score.begin(), reversed.score.end());
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const MetricIntervals one = user_bootstrap(rows, 5, 101, 9);
  omp_set_num_threads(3);
  expect_same(user_bootstrap(rows, 5, 101, 9), one);
  expect_same(user_bootstrap(reversed, 5, 101, 9), one);
  omp_set_num_threads(before);
}

TEST(UserBootstrap, UndefinedResamplesAreLeftOut) {
  // User 1 alone has both classes; resamples without it have no UAUC, those of user 2 alone no AUC either.
  const ScoredRows rows{{1, 1, 2, 2}, {0, 1, 1, 1}, {1, 2, 3, 4}};
  const MetricIntervals intervals = user_bootstrap(rows, 5, 50, 1);
  EXPECT_EQ(intervals.uauc.low, 1);
  EXPECT_EQ(intervals.auc.high, 1);
  const MetricIntervals none = user_bootstrap({{1, 2}, {1, 1}, {1, 2}}, 5, 20, 1);
  EXPECT_TRUE(std::isnan(none.auc.low) && std::isnan(none.uauc.high) && std::isnan(none.ndcg.low) && std::isnan(none.map.high));
  EXPECT_TRUE(std::isnan(user_bootstrap({}, 5, 3, 1).auc.low));
}

TEST(UserBootstrap, CoversTheTruth) {
  // AUC of N(1, 1) against N(0, 1) is Phi(1 / sqrt(2)) = 0.7602; a 90 % interval should hold it in about 9 of 10 samples.
  int covered = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Interval auc = user_bootstrap(random_rows(1000 + seed, 400, 40), 5, 200, seed, 0.9).auc;
    covered += auc.low <= 0.7602 && 0.7602 <= auc.high ? 1 : 0;
  }
  EXPECT_GE(covered, 80);
  EXPECT_LE(covered, 98);
}

TEST(PairedBootstrap, IsTheDifferenceOnTheSameResamples) {
  const ScoredRows a = random_rows(1, 200, 19, 2);
  ScoredRows b = a;
  for (std::size_t i = 0; i < b.score.size(); ++i) b.score[i] += static_cast<double>(i * 37 % 11) / 4;
  const PairedDifference difference = paired_bootstrap(a, b, 5, 80, 3);
  const RankingMetrics of_a = ranking_metrics(a, 5), of_b = ranking_metrics(b, 5);
  EXPECT_DOUBLE_EQ(difference.auc, of_a.auc - of_b.auc);
  EXPECT_DOUBLE_EQ(difference.uauc, of_a.uauc - of_b.uauc);
  EXPECT_DOUBLE_EQ(difference.ndcg, of_a.ndcg - of_b.ndcg);
  EXPECT_DOUBLE_EQ(difference.map, of_a.map - of_b.map);
  std::vector<double> auc, map;
  for (int resample = 0; resample < 80; ++resample) {
    const auto weight = resample_weights(3, resample, 19);
    const RankingMetrics drawn_a = ranking_metrics(drawn_rows(a, weight), 5), drawn_b = ranking_metrics(drawn_rows(b, weight), 5);
    auc.push_back(drawn_a.auc - drawn_b.auc);
    map.push_back(drawn_a.map - drawn_b.map);
  }
  expect_near(difference.interval.auc, percentiles(auc, 0.95), 1e-13);
  expect_near(difference.interval.map, percentiles(map, 0.95), 1e-13);
  EXPECT_GT(difference.interval.auc.low, 0);  // the noise made it worse

  const PairedDifference same = paired_bootstrap(a, a, 5, 20, 3);
  EXPECT_EQ(same.auc, 0);
  EXPECT_EQ(same.interval.map.low, 0);
  EXPECT_EQ(same.interval.map.high, 0);
}

TEST(Bootstrap, Refuses) {
  const ScoredRows good{{1, 1}, {0, 1}, {1, 2}};
  testing::expect_error(ExitCode::kConfig, "0 resamples", [&] { user_bootstrap(good, 5, 0, 1); });
  testing::expect_error(ExitCode::kConfig, "-1 resamples", [&] { paired_bootstrap(good, good, 5, -1, 1); });
  for (const double level : {0.0, 1.0, -0.5, std::numeric_limits<double>::quiet_NaN()}) {
    testing::expect_error(ExitCode::kConfig, "level", [&] { user_bootstrap(good, 5, 10, 1, level); });
    testing::expect_error(ExitCode::kConfig, "level", [&] { paired_bootstrap(good, good, 5, 10, 1, level); });
  }
  testing::expect_error(ExitCode::kConfig, "k = 0", [&] { user_bootstrap(good, 0, 10, 1); });
  ScoredRows bad = good;
  bad.score[0] = std::numeric_limits<double>::quiet_NaN();
  testing::expect_error(ExitCode::kDiverged, "NaN", [&] { user_bootstrap(bad, 5, 10, 1); });
  testing::expect_error(ExitCode::kDiverged, "NaN", [&] { paired_bootstrap(good, bad, 5, 10, 1); });
  bad = good;
  bad.user[0] = 2;
  testing::expect_error(ExitCode::kInternal, "different rows", [&] { paired_bootstrap(good, bad, 5, 10, 1); });
  bad = good;
  bad.label[0] = 1;
  testing::expect_error(ExitCode::kInternal, "different rows", [&] { paired_bootstrap(good, bad, 5, 10, 1); });
}

TEST(UserBootstrap, StandardErrorsOfMovieLens1M) {
  THINKREC_SKIP_WITHOUT_ML1M();
  const Dataset dataset = testing::load_ml1m();
  const auto& test = dataset.rows(Split::kTest);
  const MetricIntervals intervals =
      user_bootstrap(testing::scored_rows(dataset, test, item_mean_scores(dataset, test)), 5, 1000, 42);
  // Reference notes (k): .011, .018, .016, .021; a normal 95 % interval is 3.92 of these wide.
  const auto error = [](const Interval& interval) { return (interval.high - interval.low) / 3.92; };
  EXPECT_NEAR(error(intervals.auc), 0.011, 0.003);
  EXPECT_NEAR(error(intervals.uauc), 0.018, 0.003);
  EXPECT_NEAR(error(intervals.ndcg), 0.016, 0.003);
  EXPECT_NEAR(error(intervals.map), 0.021, 0.003);
}

TEST(MeanInterval, IsTheDefinition) {
  const std::vector<double> value = {0.1, 0.7, 0.4, 0.9, 0.2, 0.3};
  const std::vector<std::int32_t> user = {8, 3, 8, 5, 3, 3};
  std::vector<double> means;
  for (int resample = 0; resample < 80; ++resample) {
    const auto weight = resample_weights(6, resample, 3);  // of users 3, 5 and 8
    const double sum = weight[0] * (0.7 + 0.2 + 0.3) + weight[1] * 0.9 + weight[2] * (0.1 + 0.4);
    means.push_back(sum / (3 * weight[0] + weight[1] + 2 * weight[2]));
  }
  expect_near(mean_interval(value, user, 80, 6, 0.9), percentiles(means, 0.9), 1e-13);
  expect_error(ExitCode::kConfig, "0 resamples", [&] { mean_interval(value, user, 0, 6); });
  expect_error(ExitCode::kInternal, "6 values of 5 rows", [&] { mean_interval(value, std::span(user).first(5), 9, 6); });
}

}  // namespace
}  // namespace thinkrec
