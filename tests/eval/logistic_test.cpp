#include "eval/logistic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "support/testing.h"

namespace thinkrec {
namespace {

using Values = std::vector<double>;
using Labels = std::vector<std::uint8_t>;

TEST(FitLogistic, AgreesWithScikitLearn) {
  std::ifstream file(THINKREC_SOURCE_DIR "/tests/eval/fixtures/logistic.json");
  const auto fixture = nlohmann::json::parse(file);
  const auto features = fixture["features"].get<Values>();
  const LogisticModel model = fit_logistic(features, fixture["labels"].get<Labels>(), 3, fixture["ridge"].get<double>());
  const auto wanted = fixture["weights"].get<Values>();
  EXPECT_NEAR(model.intercept, wanted[0], 1e-8);
  ASSERT_EQ(model.weight.size(), 3u);
  for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(model.weight[j], wanted[1 + j], 1e-8);
  EXPECT_NEAR(model.logit(std::span(features).first(3)),
              wanted[0] + wanted[1] * features[0] + wanted[2] * features[1] + wanted[3] * features[2], 1e-7);
}

TEST(FitLogistic, GradientVanishesOnRandomData) {
  std::mt19937_64 engine(1);
  std::normal_distribution<double> normal;
  for (int trial = 0; trial < 20; ++trial) {
    const std::size_t width = engine() % 5, rows = 1 + engine() % 50;
    const double ridge = std::pow(10.0, -1.0 - static_cast<double>(trial % 6));
    Values features(rows * width);
    for (double& value : features) value = 3 * normal(engine);
    Labels labels(rows);
    for (auto& label : labels) label = static_cast<std::uint8_t>(engine() % 2);
    const LogisticModel model = fit_logistic(features, labels, static_cast<std::int64_t>(width), ridge);
    Values gradient(width + 1, 0);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto own = std::span(features).subspan(row * width, width);
      const double residual = (1 / (1 + std::exp(-model.logit(own))) - labels[row]) / static_cast<double>(rows);
      gradient[0] += residual;
      for (std::size_t j = 0; j < width; ++j) gradient[1 + j] += residual * own[j];
    }
    EXPECT_NEAR(gradient[0] + ridge * model.intercept, 0, 1e-9);
    for (std::size_t j = 0; j < width; ++j) EXPECT_NEAR(gradient[1 + j] + ridge * model.weight[j], 0, 1e-9);
  }
}

TEST(FitLogistic, OneClassAndSeparableRowsHaveAMinimum) {
  const Labels ones(10, 1);
  EXPECT_GT(fit_logistic({}, ones, 0, 1e-6).intercept, 5);
  const Values x = {-2, -1, 1, 2};
  const LogisticModel separable = fit_logistic(x, Labels{0, 0, 1, 1}, 1, 1e-6);
  EXPECT_GT(separable.weight[0], 5);
  EXPECT_NEAR(separable.intercept, 0, 1e-6);
  // Two equal columns share the weight.
  const LogisticModel twin = fit_logistic(Values{1, 1, -1, -1, 2, 2, 0, 0}, Labels{1, 0, 0, 1}, 2, 1e-4);
  EXPECT_NEAR(twin.weight[0], twin.weight[1], 1e-9);
}

TEST(FitLogistic, HalvesStepsThatOvershoot) {
  // Found by search: full Newton steps never settle on these rows.
  const Values x = {1.3, -0.2, -0.2, -3.9, -34.9, -0.2, -4.2, 0.0, -0.1, -4.1, -25.2, -1.2};
  const LogisticModel model = fit_logistic(x, Labels{0, 0, 0, 0, 1, 0}, 2, 1e-7);
  EXPECT_GT(model.logit(std::span(x).subspan(8, 2)), 0);
  for (const std::size_t row : {0, 1, 2, 3, 5}) EXPECT_LT(model.logit(std::span(x).subspan(2 * row, 2)), 0) << row;
}

TEST(FitLogistic, Refuses) {
  const Values x = {1, 2};
  const Labels labels = {0, 1};
  testing::expect_error(ExitCode::kInternal, "2 features, 2 labels, width 2", [&] { fit_logistic(x, labels, 2, 1); });
  testing::expect_error(ExitCode::kInternal, "0 labels", [&] { fit_logistic({}, {}, 1, 1); });
  testing::expect_error(ExitCode::kInternal, "width -1", [&] { fit_logistic(x, labels, -1, 1); });
  for (const double ridge : {0.0, -1.0})
    testing::expect_error(ExitCode::kInternal, "ridge", [&] { fit_logistic(x, labels, 1, ridge); });
  const Values bad = {1, std::numeric_limits<double>::quiet_NaN()};
  testing::expect_error(ExitCode::kDiverged, "not finite", [&] { fit_logistic(bad, labels, 1, 1); });
  // Features so large that rounding alone is a gradient above the tolerance.
  const Values large = {1e12, 3.3e12, -1.7e12, 2.9e12, -0.3e12, 1.1e12};
  testing::expect_error(ExitCode::kDiverged, "no minimum after 100 Newton steps over 6 rows", [&] {
    fit_logistic(large, Labels{0, 1, 1, 0, 0, 1}, 1, 1e-6);
  });
  const LogisticModel model{0, {1, 2}};
  testing::expect_error(ExitCode::kInternal, "1 features, 2 weights", [&] { model.logit(Values{1}); });
}

}  // namespace
}  // namespace thinkrec
