#include "report/metrics_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thinkrec {
namespace {

TEST(MetricsReport, WritesWhatIsNotDefinedAsNull) {
  const double nan = std::nan("");
  const auto json =
      metrics_json({.auc = .75, .uauc = nan, .ndcg = .5, .map = .25, .rows = 4, .users = 2, .users_ranked = 2, .users_uauc = 0},
                   {{.5, 1}, {nan, nan}, {.4, .6}, {.1, .3}}, 7);
  EXPECT_EQ(json.dump(), R"({"auc":0.75,"uauc":null,"ndcg@7":0.5,"map@7":0.25,"auc_ci":[0.5,1.0],"uauc_ci":[null,null],)"
                         R"("ndcg@7_ci":[0.4,0.6],"map@7_ci":[0.1,0.3]})");
  EXPECT_EQ(difference_cell(nan, {0, 0}), "-");
  EXPECT_EQ(difference_cell(-.01239, {-.2, .001}), "-0.0124 [-0.2000, +0.0010]");
  EXPECT_EQ(metric_cell(.77639, {.7614, .7896}), "0.7764 [0.761, 0.790]");
}

TEST(MetricsReport, ComparesEveryFileWithTheFirst) {
  Comparison comparison{.rows = 1234, .users = 5, .models = {}};
  for (const char* name : {"a.csv", "b.csv"}) {
    ComparedScores model{.name = name, .metrics = {}, .intervals = {}, .difference = {}};
    model.metrics.auc = .5;
    model.difference.auc = .125;
    comparison.models.push_back(model);
  }
  const ComparisonReport report = report_comparison(comparison, 5);
  EXPECT_EQ(report.json["first"], "a.csv");
  EXPECT_EQ(report.json["models"].size(), 2u);
  ASSERT_EQ(report.json["difference"].size(), 1u);
  EXPECT_EQ(report.json["difference"]["b.csv"]["auc"], .125);
  EXPECT_NE(report.table.find("1,234 rows of 5 users"), std::string::npos) << report.table;
  EXPECT_NE(report.table.find("less a.csv"), std::string::npos) << report.table;
  EXPECT_NE(report.table.find("+0.1250"), std::string::npos) << report.table;
}

}  // namespace
}  // namespace thinkrec
