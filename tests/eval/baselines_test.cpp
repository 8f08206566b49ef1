#include "eval/baselines.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "support/testing.h"
#include "eval/logistic.h"
#include "eval/metrics.h"
#include "eval/ml1m.h"

namespace thinkrec {
namespace {

/// 3 users, 4 items; each user's last rows are test, the one before valid, the others train. Item 3 is never in train.
Dataset small_dataset() {
  Dataset dataset;
  dataset.name = "small";
  dataset.items.resize(4);
  dataset.users.resize(3);
  dataset.user = {0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2};
  dataset.item = {0, 1, 2, 0, 3, 0, 1, 2, 1, 0, 3};
  dataset.label = {1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1};
  dataset.timestamp.resize(dataset.user.size());
  std::iota(dataset.timestamp.begin(), dataset.timestamp.end(), std::int64_t{0});
  dataset.user_begin = {0, 5, 8, 11};
  dataset.splits[0] = {0, 1, 2, 5, 8};
  dataset.splits[1] = {3, 6, 9};
  dataset.splits[2] = {4, 7, 10};
  return dataset;
}

std::vector<std::int64_t> all_rows(const Dataset& dataset) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(dataset.interactions()));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

TEST(ItemMean, ByHand) {
  const Dataset dataset = small_dataset();
  // Train: item 0 liked 2 of 2, item 1 0 of 2, item 2 1 of 1, item 3 never; 3 of 5 in all.
  const std::vector<std::int64_t> rows = {4, 7, 3, 6, 0};
  const std::vector<double> scores = item_mean_scores(dataset, rows, 2);
  ASSERT_EQ(scores.size(), 5u);
  EXPECT_DOUBLE_EQ(scores[0], 0.6);
  EXPECT_DOUBLE_EQ(scores[1], (1 + 1.2) / 3);
  EXPECT_DOUBLE_EQ(scores[2], (2 + 1.2) / 4);
  EXPECT_DOUBLE_EQ(scores[3], 1.2 / 4);
  EXPECT_DOUBLE_EQ(scores[4], (2 + 1.2) / 4);
  EXPECT_TRUE(item_mean_scores(dataset, {}).empty());
}

TEST(ItemMean, ValidAndTestLabelsAreNotSeen) {
  const Dataset dataset = small_dataset();
  Dataset flipped = dataset;
  for (const Split split : {Split::kValid, Split::kTest}) {
    for (const std::int64_t row : dataset.rows(split)) flipped.label[static_cast<std::size_t>(row)] ^= 1;
  }
  EXPECT_EQ(item_mean_scores(dataset, all_rows(dataset)), item_mean_scores(flipped, all_rows(dataset)));
}

TEST(Logistic, FeaturesByHand) {
  // The four features built here one by one, the same regression: the scores must agree.
  const Dataset dataset = small_dataset();
  const RatePriors priors{3, 1, 2};
  const double global = 0.6;
  const auto log_odds = [](double rate) { return std::log(rate / (1 - rate)); };
  const auto features = [&](std::size_t row) {
    double likes = 0, count = 0, before = 0, liked_before = 0;
    for (const std::int64_t t : dataset.rows(Split::kTrain)) {
      const auto i = static_cast<std::size_t>(t);
      if (i == row || dataset.item[i] != dataset.item[row]) continue;
      likes += dataset.label[i];
      ++count;
    }
    for (std::size_t i = 0; i < row; ++i) {
      if (dataset.user[i] != dataset.user[row]) continue;
      liked_before += dataset.label[i];
      ++before;
    }
    return std::vector<double>{log_odds((likes + 3 * global) / (count + 3)), log_odds((liked_before + global) / (before + 1)),
                               log_odds((liked_before + 2 * global) / (before + 2)), std::log(1 + count)};
  };
  std::vector<std::vector<double>> table;
  std::vector<std::uint8_t> labels;
  for (const std::int64_t row : dataset.rows(Split::kTrain)) {
    table.push_back(features(static_cast<std::size_t>(row)));
    labels.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  std::vector<double> mean(4, 0), deviation(4, 0), scaled;
  for (std::size_t j = 0; j < 4; ++j) {
    for (const auto& row : table) mean[j] += row[j] / 5;
    for (const auto& row : table) deviation[j] += (row[j] - mean[j]) * (row[j] - mean[j]) / 5;
    deviation[j] = std::sqrt(deviation[j]);
  }
  const auto standard = [&](std::vector<double> row) {
    for (std::size_t j = 0; j < 4; ++j) row[j] = (row[j] - mean[j]) / deviation[j];
    return row;
  };
  for (const auto& row : table) {
    const auto own = standard(row);
    scaled.insert(scaled.end(), own.begin(), own.end());
  }
  const LogisticModel model = fit_logistic(scaled, labels, 4, 1e-6);
  const std::vector<std::int64_t> rows = all_rows(dataset);
  const std::vector<double> scores = logistic_scores(dataset, rows, priors);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR(scores[i], 1 / (1 + std::exp(-model.logit(standard(features(i))))), 1e-6) << i;
  }
}

TEST(Logistic, OwnLabelIsNotSeen) {
  // A test row's own label, and later ones, play no part in its score.
  const Dataset dataset = small_dataset();
  Dataset flipped = dataset;
  for (const std::int64_t row : dataset.rows(Split::kTest)) flipped.label[static_cast<std::size_t>(row)] ^= 1;
  EXPECT_EQ(logistic_scores(dataset, dataset.rows(Split::kTest)), logistic_scores(flipped, dataset.rows(Split::kTest)));
}

TEST(Logistic, OneClassOfTrainRows) {
  for (const std::uint8_t label : {0, 1}) {
    Dataset dataset = small_dataset();
    std::fill(dataset.label.begin(), dataset.label.end(), label);
    for (const double score : logistic_scores(dataset, all_rows(dataset))) {
      EXPECT_TRUE(label == 1 ? score > 0.9 && score <= 1 : score < 0.1 && score >= 0);
    }
    for (const double score : item_mean_scores(dataset, all_rows(dataset))) EXPECT_EQ(score, label);
  }
}

TEST(Logistic, RecentIsTheLastTen) {
  // User 0 has 30 rows: 15 dislikes, then likes. Two rows alike but for what happened 11 rows ago score alike in the recent
  // feature, so with the history prior so large that it says nothing, flipping old labels changes nothing but the fit.
  Dataset dataset;
  dataset.name = "long";
  dataset.items.resize(1);
  dataset.users.resize(1);
  std::mt19937_64 engine(1);
  for (int i = 0; i < 60; ++i) {
    dataset.user.push_back(0);
    dataset.item.push_back(0);
    dataset.label.push_back(static_cast<std::uint8_t>(engine() % 2));
    dataset.timestamp.push_back(i);
    dataset.splits[i < 30 ? 0 : i < 40 ? 1 : 2].push_back(i);
  }
  dataset.user_begin = {0, 60};
  Dataset flipped = dataset;
  for (std::size_t i = 30; i < 45; ++i) flipped.label[i] ^= 1;  // outside train: the fit stays
  const RatePriors priors{5, 1, 1e12};
  const std::vector<std::int64_t> near = {50}, far = {55, 59};
  EXPECT_GT(std::abs(logistic_scores(dataset, near)[0] - logistic_scores(flipped, near)[0]), 0);
  const auto a = logistic_scores(dataset, far, priors), b = logistic_scores(flipped, far, priors);
  for (std::size_t i = 0; i < far.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-6);
}

TEST(Baselines, Refuse) {
  const Dataset dataset = small_dataset();
  const std::vector<std::int64_t> rows = {4};
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double prior : {0.0, -1.0, nan, infinity}) {
    testing::expect_error(ExitCode::kConfig, "prior", [&] { item_mean_scores(dataset, rows, prior); });
    testing::expect_error(ExitCode::kConfig, "prior", [&] { logistic_scores(dataset, rows, {prior, 1, 1}); });
    testing::expect_error(ExitCode::kConfig, "prior", [&] { logistic_scores(dataset, rows, {1, prior, 1}); });
    testing::expect_error(ExitCode::kConfig, "prior", [&] { logistic_scores(dataset, rows, {1, 1, prior}); });
  }
  for (const std::int64_t row : {std::int64_t{-1}, std::int64_t{11}}) {
    testing::expect_error(ExitCode::kInternal, "of 11", [&] { item_mean_scores(dataset, {{row}}); });
    testing::expect_error(ExitCode::kInternal, "of 11", [&] { logistic_scores(dataset, {{row}}); });
  }
  Dataset empty = dataset;
  empty.splits[0].clear();
  testing::expect_error(ExitCode::kBadData, "'small' has no train rows", [&] { item_mean_scores(empty, rows); });
  testing::expect_error(ExitCode::kBadData, "'small' has no train rows", [&] { logistic_scores(empty, rows); });
}

TEST(Baselines, MovieLens1M) {
  THINKREC_SKIP_WITHOUT_ML1M();
  const Dataset dataset = testing::load_ml1m();
  const auto& test = dataset.rows(Split::kTest);
  // Reference notes (k).
  const RankingMetrics item = ranking_metrics(testing::scored_rows(dataset, test, item_mean_scores(dataset, test)), 5);
  EXPECT_NEAR(item.auc, 0.709, 0.003);
  EXPECT_NEAR(item.uauc, 0.682, 0.003);
  EXPECT_NEAR(item.ndcg, 0.783, 0.003);
  EXPECT_NEAR(item.map, 0.482, 0.003);
  const RankingMetrics logistic = ranking_metrics(testing::scored_rows(dataset, test, logistic_scores(dataset, test)), 5);
  EXPECT_NEAR(logistic.auc, 0.784, 0.006);
  EXPECT_NEAR(logistic.uauc, 0.654, 0.006);
  EXPECT_NEAR(logistic.ndcg, 0.753, 0.006);
  EXPECT_NEAR(logistic.map, 0.462, 0.006);
}

}  // namespace
}  // namespace thinkrec
