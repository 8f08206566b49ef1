#include "report/charts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace thinkrec::html {
namespace {

TEST(Charts, TicksAreRoundNumbersWithinTheRange) {
  EXPECT_EQ(nice_ticks(0, 1, 5), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(nice_ticks(1, 900, 4), (std::vector<double>{200, 400, 600, 800}));
  EXPECT_TRUE(nice_ticks(1, 1, 5).empty());
  EXPECT_TRUE(nice_ticks(2, 1, 5).empty());
  EXPECT_TRUE(nice_ticks(0, std::nan(""), 5).empty());
  EXPECT_TRUE(nice_ticks(0, std::numeric_limits<double>::infinity(), 5).empty());
  std::mt19937 random(2);
  std::uniform_real_distribution<double> exponent(-6, 9);
  for (int round = 0; round < 2000; ++round) {
    const double low = (static_cast<double>(random() % 2001) - 1000) * std::pow(10, exponent(random));
    const double high = low + std::pow(10, exponent(random)) + std::abs(low) * 1e-3;
    for (const int wanted : {2, 4, 6}) {
      const auto ticks = nice_ticks(low, high, wanted);
      EXPECT_GE(ticks.size(), 1U) << low << " " << high;
      EXPECT_LE(ticks.size(), static_cast<std::size_t>(2 * wanted + 1));
      for (const double tick : ticks) {
        EXPECT_GE(tick, low - (high - low) * 1e-6);
        EXPECT_LE(tick, high + (high - low) * 1e-6);
      }
    }
  }
}

TEST(Charts, TickLabels) {
  EXPECT_EQ(tick_label(0.2, 0.2), "0.2");
  EXPECT_EQ(tick_label(0.6000000000000001, 0.2), "0.6");
  EXPECT_EQ(tick_label(0.05, 0.05), "0.05");
  EXPECT_EQ(tick_label(200, 200), "200");
  EXPECT_EQ(tick_label(2000, 1000), "2k");
  EXPECT_EQ(tick_label(0, 1000), "0");
  EXPECT_EQ(tick_label(3e6, 1e6), "3M");
}

TEST(Charts, AxesSayWhatTheirTicksAre) {
  // One tick at 0.6 would have been labelled "1".
  const auto narrow = line_chart("x", "step", {{"a", {{{{20}, {0.75}}, 0}, {{{20}, {0.49}}, 1}}}, {"b", {{{{1, 20}, {0.4889, 0.75}}, 0}}, 0.3}});
  EXPECT_NE(narrow.find(">0.6</text>"), std::string::npos) << narrow;
  EXPECT_EQ(narrow.find(">1</text>"), std::string::npos) << narrow;
  // Steps are whole numbers.
  const auto steps = line_chart("x", "epoch", {{"loss", {{{{1, 2, 3}, {5, 7, 9}}, 0}}}});
  for (const char* label : {">1</text>", ">2</text>", ">3</text>"}) EXPECT_NE(steps.find(label), std::string::npos) << label << steps;
  EXPECT_EQ(steps.find(">1.5</text>"), std::string::npos) << steps;
}

TEST(Charts, SmoothingKeepsAConstantAndTheLength) {
  Series series;
  for (int i = 0; i < 50; ++i) {
    series.x.push_back(i);
    series.y.push_back(0.7);
  }
  for (const double y : smoothed(series, 10).y) EXPECT_NEAR(y, 0.7, 1e-12);
  EXPECT_EQ(smoothed(series, 0).y.size(), 50U);
  EXPECT_TRUE(smoothed({}, 10).y.empty());
}

TEST(Charts, ThinningKeepsTheMean) {
  Series series;
  for (int i = 0; i < 1000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i % 7);
  }
  const auto thin = thinned(series, 100);
  EXPECT_EQ(thin.x.size(), 100U);
  EXPECT_NEAR(std::accumulate(thin.y.begin(), thin.y.end(), 0.0) / 100,
              std::accumulate(series.y.begin(), series.y.end(), 0.0) / 1000, 1e-12);
  EXPECT_EQ(thinned(series, 2000).x.size(), 1000U);
}

TEST(Charts, EmptyAndDegenerateDataDrawNothingOrSomethingFinite) {
  EXPECT_EQ(line_chart("x", "step", {}), "");
  EXPECT_EQ(line_chart("x", "step", {{"loss", {{{}, 0}}}}), "");
  EXPECT_EQ(scatter("x", {}), "");
  EXPECT_EQ(histogram("x", "w", 0, 1, {}), "");
  EXPECT_EQ(sparkline("x", {{1}, {1}}, 0), "");
  for (const auto& text : {line_chart("one point", "step", {{"loss", {{{{3}, {0.5}}, 0}}}}),
                           line_chart("flat", "step", {{"loss", {{{{1, 2}, {0, 0}}, 0}}}}), scatter("one", {{{{1}, {1}}, 0}}),
                           histogram("zeros", "w", 0, 1, {0, 0}), sparkline("flat", {{1, 2}, {0, 0}}, 0)}) {
    EXPECT_NE(text.find("<svg"), std::string::npos);
    EXPECT_EQ(text.find("nan"), std::string::npos) << text;
    EXPECT_EQ(text.find("inf"), std::string::npos) << text;
  }
}

TEST(Charts, DescriptionsAreEscaped) {
  const auto text = line_chart("<b>\"", "step", {{"<i>", {{{{1, 2}, {1, 2}}, 0}}}});
  EXPECT_EQ(text.find("<b>"), std::string::npos);
  EXPECT_EQ(text.find("<i>"), std::string::npos);
  EXPECT_NE(text.find("&lt;b&gt;&quot;"), std::string::npos);
}

}  // namespace
}  // namespace thinkrec::html
