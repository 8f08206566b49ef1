#include "eval/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "support/testing.h"
#include "eval/ml1m.h"
#include "eval/user_table.h"

namespace thinkrec {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_same(const RankingMetrics& a, const RankingMetrics& b) {
  const auto same = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  EXPECT_TRUE(same(a.auc, b.auc) && same(a.uauc, b.uauc) && same(a.ndcg, b.ndcg) && same(a.map, b.map));
  EXPECT_EQ(std::tie(a.rows, a.users, a.users_ranked, a.users_uauc), std::tie(b.rows, b.users, b.users_ranked, b.users_uauc));
}

ScoredRows random_rows(std::uint64_t seed, int rows, int users, int levels) {
  std::mt19937_64 engine(seed);
  ScoredRows out;
  for (int i = 0; i < rows; ++i) {
    out.user.push_back(static_cast<std::int32_t>(engine() % static_cast<std::uint64_t>(users)) - 2);
    out.label.push_back(static_cast<std::uint8_t>(engine() % 2));
    out.score.push_back(static_cast<double>(engine() % static_cast<std::uint64_t>(levels)) / 3 - 1);
  }
  return out;
}

TEST(RankingMetrics, AgreesWithScikitLearn) {
  std::ifstream file(THINKREC_SOURCE_DIR "/tests/eval/fixtures/metrics.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 19u);
  for (const auto& one : cases) {
    const int k = one["k"].get<int>();
    SCOPED_TRACE(fmt::format("{}, k {}", one["name"].get<std::string>(), k));
    const ScoredRows rows{one["user"].get<std::vector<std::int32_t>>(), one["label"].get<std::vector<std::uint8_t>>(),
                          one["score"].get<std::vector<double>>()};
    const RankingMetrics metrics = ranking_metrics(rows, k);
    const auto check = [](double value, const nlohmann::json& wanted) {
      if (wanted.is_null()) {
        EXPECT_TRUE(std::isnan(value));
      } else {
        EXPECT_NEAR(value, wanted.get<double>(), 1e-13);
      }
    };
    check(metrics.auc, one["auc"]);
    check(metrics.uauc, one["uauc"]);
    check(metrics.ndcg, one["ndcg"]);
    check(metrics.map, one["map"]);
    EXPECT_EQ(metrics.rows, static_cast<std::int64_t>(rows.user.size()));
    EXPECT_EQ(metrics.users, one["users"].get<std::int64_t>());
    EXPECT_EQ(metrics.users_ranked, one["users_ranked"].get<std::int64_t>());
    EXPECT_EQ(metrics.users_uauc, one["users_uauc"].get<std::int64_t>());
  }
}

TEST(RankingMetrics, ByHand) {
  // One user, the order of labels is 1 0 1 0; all negatives of a second user are above.
  const ScoredRows rows{{4, 4, 4, 4, 9, 9}, {0, 1, 1, 0, 0, 0}, {1, 4, 2, 3, 8, 9}};
  const RankingMetrics metrics = ranking_metrics(rows, 3);
  EXPECT_DOUBLE_EQ(metrics.auc, 3.0 / 8);
  EXPECT_DOUBLE_EQ(metrics.uauc, 0.75);
  EXPECT_DOUBLE_EQ(metrics.ndcg, (1 + 0.5) / (1 + 1 / std::log2(3.0)) / 2);
  EXPECT_DOUBLE_EQ(metrics.map, (1 + 2.0 / 3) / 2 / 2);
  // MAP divides by all positives, also those that k leaves no room for.
  EXPECT_DOUBLE_EQ(ranking_metrics({{1, 1, 1}, {1, 1, 1}, {1, 2, 3}}, 1).map, 1.0 / 3);
  EXPECT_DOUBLE_EQ(ranking_metrics({{1, 1, 1}, {1, 1, 1}, {1, 2, 3}}, 1).ndcg, 1);
}

/// NDCG@k and MAP@k of one order of labels, straight from their definitions.
std::pair<double, double> of_order(const std::vector<std::uint8_t>& order, int k) {
  double gain = 0, precision = 0, ideal = 0;
  int hits = 0;
  const int positives = std::accumulate(order.begin(), order.end(), 0);
  for (int rank = 1; rank <= std::min<int>(k, static_cast<int>(order.size())); ++rank) {
    const int label = order[static_cast<std::size_t>(rank - 1)];
    hits += label;
    gain += label / std::log2(rank + 1.0);
    precision += static_cast<double>(label * hits) / rank;
    ideal += rank <= positives ? 1 / std::log2(rank + 1.0) : 0;
  }
  return positives == 0 ? std::pair{0.0, 0.0} : std::pair{gain / ideal, precision / positives};
}

TEST(RankingMetrics, TiesAreTheMeanOverAllOrders) {
  std::mt19937_64 engine(3);
  for (int trial = 0; trial < 60; ++trial) {
    const std::size_t rows = 2 + engine() % 6;
    ScoredRows scored{std::vector<std::int32_t>(rows, 7), {}, {}};
    for (std::size_t i = 0; i < rows; ++i) {
      scored.label.push_back(static_cast<std::uint8_t>(engine() % 2));
      scored.score.push_back(static_cast<double>(engine() % 3));
    }
    for (int k = 1; k <= 8; k += 2) {
      std::vector<std::size_t> order(rows);
      std::iota(order.begin(), order.end(), std::size_t{0});
      double ndcg = 0, map = 0;
      int orders = 0;
      do {
        if (!std::is_sorted(order.begin(), order.end(),
                            [&](std::size_t a, std::size_t b) { return scored.score[a] > scored.score[b]; }))
          continue;
        std::vector<std::uint8_t> labels;
        for (const std::size_t i : order) labels.push_back(scored.label[i]);
        const auto [own_ndcg, own_map] = of_order(labels, k);
        ndcg += own_ndcg;
        map += own_map;
        ++orders;
      } while (std::next_permutation(order.begin(), order.end()));
      const RankingMetrics metrics = ranking_metrics(scored, k);
      EXPECT_NEAR(metrics.ndcg, ndcg / orders, 1e-13);
      EXPECT_NEAR(metrics.map, map / orders, 1e-13);
    }
  }
}

TEST(RankingMetrics, AucIsTheShareOfPairs) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const ScoredRows rows =
        random_rows(seed, 2 + static_cast<int>(seed) * 3, 1 + static_cast<int>(seed % 7), 1 + static_cast<int>(seed % 9));
    const auto share = [&](auto belongs) {
      double wins = 0, pairs = 0;
      for (std::size_t i = 0; i < rows.score.size(); ++i) {
        for (std::size_t j = 0; j < rows.score.size(); ++j) {
          if (rows.label[i] == 0 || rows.label[j] == 1 || !belongs(i) || !belongs(j)) continue;
          wins += rows.score[i] > rows.score[j] ? 1 : rows.score[i] == rows.score[j] ? 0.5 : 0;
          ++pairs;
        }
      }
      return wins / pairs;
    };
    const RankingMetrics metrics = ranking_metrics(rows, 5);
    const double auc = share([](std::size_t) { return true; });
    EXPECT_EQ(std::isnan(metrics.auc), std::isnan(auc));
    if (!std::isnan(auc)) {
      EXPECT_DOUBLE_EQ(metrics.auc, auc);
    }
    double sum = 0;
    std::int64_t users = 0;
    for (std::int32_t u = -2; u < 6; ++u) {
      const double own = share([&](std::size_t i) { return rows.user[i] == u; });
      if (std::isnan(own)) continue;
      sum += own;
      ++users;
    }
    EXPECT_EQ(metrics.users_uauc, users);
    if (users > 0) {
      EXPECT_NEAR(metrics.uauc, sum / static_cast<double>(users), 1e-14);
    }
  }
}

TEST(RankingMetrics, OrderOfRowsDoesNotMatterInAnyBit) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ScoredRows rows = random_rows(seed, 101, 13, seed % 2 == 0 ? 5 : 1'000'000);
    std::vector<std::size_t> order(rows.score.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    ScoredRows shuffled;
    for (const std::size_t i : order) {
      shuffled.user.push_back(rows.user[i]);
      shuffled.label.push_back(rows.label[i]);
      shuffled.score.push_back(rows.score[i]);
    }
    expect_same(ranking_metrics(rows, 5), ranking_metrics(shuffled, 5));
  }
}

TEST(RankingMetrics, NotDefined) {
  const RankingMetrics none = ranking_metrics({}, 5);
  EXPECT_TRUE(std::isnan(none.auc) && std::isnan(none.uauc) && std::isnan(none.ndcg) && std::isnan(none.map));
  EXPECT_EQ(none.rows + none.users + none.users_ranked + none.users_uauc, 0);
  const RankingMetrics one_class = ranking_metrics({{1, 1, 2}, {0, 0, 0}, {1, 2, 3}}, 5);
  EXPECT_TRUE(std::isnan(one_class.auc) && std::isnan(one_class.uauc));
  EXPECT_EQ(one_class.ndcg, 0);
  EXPECT_EQ(one_class.map, 0);
  EXPECT_EQ(one_class.users_ranked, 1);
  const RankingMetrics single_rows = ranking_metrics({{1, 2}, {0, 1}, {1, 2}}, 5);
  EXPECT_EQ(single_rows.auc, 1);
  EXPECT_TRUE(std::isnan(single_rows.uauc) && std::isnan(single_rows.ndcg) && std::isnan(single_rows.map));
}

TEST(RankingMetrics, ExtremeScores) {
  const double tiny = std::numeric_limits<double>::denorm_min();
  const RankingMetrics metrics = ranking_metrics({{1, 1, 1, 1}, {0, 1, 0, 1}, {-kInfinity, kInfinity, 0.0, tiny}}, 5);
  EXPECT_EQ(metrics.auc, 1);
  EXPECT_EQ(metrics.ndcg, 1);
  EXPECT_EQ(ranking_metrics({{1, 1}, {0, 1}, {0.0, -0.0}}, 5).uauc, 0.5);  // zeros of either sign tie
  EXPECT_EQ(ranking_metrics({{1, 1}, {0, 1}, {kInfinity, kInfinity}}, 5).uauc, 0.5);
  const std::int32_t most = std::numeric_limits<std::int32_t>::max(), least = std::numeric_limits<std::int32_t>::min();
  EXPECT_EQ(ranking_metrics({{least, most, least}, {0, 1, 1}, {1, 2, 3}}, std::numeric_limits<int>::max()).users, 2);
}

TEST(RankingMetrics, Refuses) {
  const ScoredRows good{{1, 1}, {0, 1}, {1, 2}};
  for (const int k : {0, -3}) testing::expect_error(ExitCode::kConfig, "k = ", [&] { ranking_metrics(good, k); });
  ScoredRows bad = good;
  bad.score[1] = std::numeric_limits<double>::quiet_NaN();
  testing::expect_error(ExitCode::kDiverged, "row 1 (user 1) is NaN", [&] { ranking_metrics(bad, 5); });
  bad = good;
  bad.label[0] = 2;
  testing::expect_error(ExitCode::kInternal, "row 0: label 2", [&] { ranking_metrics(bad, 5); });
  bad = good;
  bad.user.pop_back();
  testing::expect_error(ExitCode::kInternal, "1 users, 2 labels, 2 scores", [&] { ranking_metrics(bad, 5); });
  bad = good;
  bad.label.push_back(1);
  testing::expect_error(ExitCode::kInternal, "2 users, 3 labels, 2 scores", [&] { ranking_metrics(bad, 5); });
}

TEST(UserTable, Refuses) {
  const UserTable table({{1, 2}, {0, 1}, {1, 2}}, 5);
  const std::vector<std::int32_t> one = {1};
  testing::expect_error(ExitCode::kInternal, "1 weights, 2 users", [&] { table.weighted(one); });
}

TEST(RankingMetrics, GoldenValuesOfMovieLens1M) {
  THINKREC_SKIP_WITHOUT_ML1M();
  const Dataset dataset = testing::load_ml1m();
  const auto& test = dataset.rows(Split::kTest);
  std::vector<double> score;
  for (const std::int64_t row : test) {
    const auto i = static_cast<std::size_t>(row);
    score.push_back(
        static_cast<double>((dataset.user[i] * std::int64_t{7919} + dataset.item[i] * std::int64_t{104729}) % 1000003) / 1000003);
  }
  const ScoredRows rows = testing::scored_rows(dataset, test, score);
  std::ifstream file(testing::ml1m_folder() + "/golden_metrics.json");
  const auto golden = nlohmann::json::parse(file);
  const RankingMetrics metrics = ranking_metrics(rows, 5);
  EXPECT_NEAR(metrics.auc, golden["auc"].get<double>(), 1e-12);
  EXPECT_NEAR(metrics.uauc, golden["uauc"].get<double>(), 1e-12);
  EXPECT_EQ(metrics.rows, golden["rows"].get<std::int64_t>());
  EXPECT_EQ(metrics.users, 320);
  EXPECT_EQ(metrics.users_ranked, golden["users_ge2"].get<std::int64_t>());
  EXPECT_EQ(metrics.users_uauc, golden["users_uauc"].get<std::int64_t>());
  for (const auto& [k, values] : golden["ndcg_map_at_k"].items()) {
    const RankingMetrics at_k = ranking_metrics(rows, std::stoi(k));
    EXPECT_NEAR(at_k.ndcg, values[0].get<double>(), 1e-12) << k;
    EXPECT_NEAR(at_k.map, values[1].get<double>(), 1e-12) << k;
  }
}

TEST(SelectionScore, CountsWhatIsNotDefinedAsAHalf) {
  RankingMetrics metrics{};
  metrics.auc = 0.8;
  metrics.uauc = 0.6;
  EXPECT_DOUBLE_EQ(selection_score(metrics), 0.8 / 4 + 0.6 / 3);
  metrics.auc = metrics.uauc = std::nan("");
  EXPECT_DOUBLE_EQ(selection_score(metrics), 0.5 / 4 + 0.5 / 3);
}

}  // namespace
}  // namespace thinkrec
