#include "encoders/fit.h"

#include <ATen/ATen.h>

#include <limits>

#include "encoders_testing.h"

namespace thinkrec {
namespace {

using testing::small_config;
using testing::taste_dataset;

TEST(Fit, KeepsTheBestEpochAndStopsOnPatience) {
  const Dataset dataset = taste_dataset(40, 12, 20, 1);
  const auto solo = make_solo_collectives();
  for (const char* kind : {"mf", "sasrec"}) {
    EncoderConfig config = small_config(kind);
    config.max_epochs = 50;
    config.patience = 4;
    config.warm_start = false;
    std::vector<std::vector<double>> seen;
    const std::vector<double> verdicts = {0.3, 0.6, 0.5, 0.6, 0.1, 0.2};
    std::vector<EncoderProgress> reports;
    const auto encoder = train_encoder(
        config, dataset, *solo,
        [&](std::span<const double> scores) {
          seen.emplace_back(scores.begin(), scores.end());
          return seen.size() <= verdicts.size() ? verdicts[seen.size() - 1] : 0.0;
        },
        [&](const EncoderProgress& progress) { reports.push_back(progress); });
    ASSERT_EQ(reports.size(), 6U);
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(reports[i].epoch, static_cast<std::int64_t>(i + 1));
      EXPECT_EQ(reports[i].best, i < 2);
      EXPECT_EQ(reports[i].valid_score, verdicts[i]);
    }
    EXPECT_LT(reports[5].train_loss, reports[0].train_loss);
    EXPECT_EQ(seen[0].size(), dataset.rows(Split::kValid).size());
    // (mf chooses its ridge after that)
    if (config.kind == "sasrec") {
      EXPECT_EQ(encoder->scores(dataset, dataset.rows(Split::kValid)), seen[1]);
    }
  }
}

TEST(Fit, RefusesALossThatIsNotFinite) {
  const Dataset dataset = taste_dataset(40, 12, 20, 1);
  const EncoderConfig config = small_config("mf");
  struct Broken : Objective {
    Parameters values{{{"x", {1}, 0, 1, true}}, 0};
    Parameters& parameters() override { return values; }
    std::int64_t samples() const override { return 3; }
    std::int64_t batch_samples() const override { return 2; }
    std::int64_t targets(std::int64_t) const override { return 1; }
    at::Tensor loss(std::span<const std::int64_t>, std::int64_t) override {
      return values["x"].sum() * std::numeric_limits<double>::quiet_NaN();
    }
    std::vector<double> scores(std::span<const std::int64_t> rows) override { return std::vector<double>(rows.size()); }
  } broken;
  const auto solo = make_solo_collectives();
  testing::expect_error(ExitCode::kDiverged, "epoch 1 is not finite",
                        [&] { fit(broken, config, dataset, *solo, [](auto) { return 0.0; }, {}); });
}

TEST(TrainEncoderAlone, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Dataset dataset = taste_dataset(60, 12, 25, 9);
  const auto judge = [&](std::span<const double> scores) { return testing::area(dataset, dataset.rows(Split::kValid), scores); };
  const int before = at::get_num_threads();
  for (const char* kind : {"sasrec", "mf", "lightgcn"}) {
    std::vector<std::pair<std::string, at::Tensor>> first;
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      const auto parameters = train_encoder_alone(small_config(kind), dataset, judge)->parameters();
      EXPECT_EQ(at::get_num_threads(), threads);
      if (first.empty()) first = parameters;
      for (std::size_t i = 0; i < first.size(); ++i)
        EXPECT_TRUE(at::equal(parameters[i].second, first[i].second)) << first[i].first << " on " << threads << " threads";
    }
  }
  at::set_num_threads(before);
}

TEST(Parameters, GradientsLandInTheFlatBuffer) {
  Parameters parameters({{"a", {2, 3}, 1, 0, true}, {"b", {3}, 0, 0.5, false}}, 4);
  EXPECT_TRUE(at::equal(parameters["a"], at::ones({2, 3})));
  EXPECT_THROW(parameters["c"], Error);
  for (int i = 0; i < 2; ++i) (parameters["a"] * parameters["b"]).sum().backward();
  const auto gradients = parameters.gradients();
  ASSERT_EQ(gradients.size(), 9U);
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(gradients[i], 2 * parameters["b"][i % 3].item<float>());
  for (int i = 6; i < 9; ++i) EXPECT_FLOAT_EQ(gradients[i], 4);
}

TEST(Parameters, ASparseTableNotesTheRowsItIsReadBy) {
  Parameters parameters({{"a", {2}, 1, 0, true}, {"table", {5, 3}, 0, 1, true, true}, {"b", {1}, 2, 0, false}}, 4);
  const at::Tensor indices = at::tensor(std::vector<std::int64_t>{4, 1, 4, 4}).view({2, 2});
  const at::Tensor weights = testing::normal({2, 2, 3}, 5);
  EXPECT_TRUE(
      at::equal(parameters.rows("table", indices), parameters["table"].index_select(0, indices.flatten()).view({2, 2, 3})));
  for (int i = 0; i < 2; ++i) (parameters.rows("table", indices) * weights * parameters["b"]).sum().backward();
  EXPECT_EQ(parameters.touched(), (std::vector<std::int64_t>{1, 4}));
  at::Tensor expected = at::zeros({5, 3});
  expected.index_add_(0, indices.flatten(), weights.view({4, 3}), 4);
  const auto gradients = [&] {
    return at::tensor(std::vector<float>(parameters.gradients().begin(), parameters.gradients().end()));
  };
  EXPECT_TRUE(at::allclose(gradients().narrow(0, 2, 15).view({5, 3}), expected, 1e-5, 1e-6));
  EXPECT_NE(parameters.gradients()[17], 0);
  parameters.touch(std::vector<std::int64_t>{0, 4});
  EXPECT_EQ(parameters.touched(), (std::vector<std::int64_t>{0, 1, 4}));
  parameters.clear_gradients();
  EXPECT_TRUE(parameters.touched().empty());
  EXPECT_TRUE(at::equal(gradients(), at::zeros({18})));
}

TEST(Parameters, RowsOfADenseTableHaveADenseGradient) {
  Parameters parameters({{"table", {3, 2}, 0, 1, true}}, 4);
  parameters.rows("table", at::tensor(std::vector<std::int64_t>{2, 2})).sum().backward();
  EXPECT_FALSE(parameters.sparse());
  EXPECT_TRUE(parameters.touched().empty());
  for (int i = 0; i < 6; ++i) EXPECT_EQ(parameters.gradients()[i], i < 4 ? 0 : 2);
}

TEST(Parameters, HasOneSparseTable) {
  EXPECT_THROW(Parameters({{"a", {2, 2}, 0, 1, true, true}, {"b", {2, 2}, 0, 1, true, true}}, 0), Error);
  EXPECT_THROW(Parameters({{"a", {2}, 0, 1, true, true}}, 0), Error);
}

/// What waits is made up for: a row that has a gradient in every step is updated as if it were dense; one that misses steps has the
/// decay of its moments, weights and mean, and not what momentum alone would have added.
TEST(Adam, MakesUpForRowsThatWaited) {
  constexpr double kRate = 0.1, kDecay = 0.5, kAveraging = 0.9;
  Parameters parameters({{"table", {3, 1}, 1, 0, true, true}}, 0);
  Adam adam(parameters, kRate, kDecay, kAveraging);
  const bool has_gradient[6][3] = {{true, false, true}, {true, false, false}, {true, true, false},
                                   {true, false, true}, {true, false, false}, {true, true, false}};
  double value[3] = {1, 1, 1}, mean[3] = {1, 1, 1}, first[3] = {}, second[3] = {};
  for (int step = 1; step <= 6; ++step) {
    const double keep = std::min(kAveraging, step / (step + 10.0));
    std::vector<std::int64_t> rows;
    for (int row = 0; row < 3; ++row) {
      first[row] *= 0.9;
      second[row] *= 0.999;
      value[row] *= 1 - kRate * kDecay;
      if (has_gradient[step - 1][row]) {
        const double gradient = row + 2 - step % 3;
        parameters.gradients()[row] = static_cast<float>(2 * gradient);
        rows.push_back(row);
        first[row] += 0.1 * gradient;
        second[row] += 0.001 * gradient * gradient;
        value[row] -=
            kRate * first[row] / (1 - std::pow(0.9, step)) / (std::sqrt(second[row] / (1 - std::pow(0.999, step))) + 1e-8);
      }
      mean[row] = keep * mean[row] + (1 - keep) * value[row];
    }
    parameters.touch(rows);
    adam.step(0.5f);
  }
  adam.settle();
  for (int row = 0; row < 3; ++row) EXPECT_NEAR(parameters.values()[row], value[row], 1e-5) << row;
  adam.swap_mean();
  // The mean of a row that waits takes the value at the end of the wait for that of each step: the decay within it is second order.
  for (int row = 0; row < 3; ++row) EXPECT_NEAR(parameters.values()[row], mean[row], row == 0 ? 1e-5 : 0.05) << row;
}

TEST(Adam, FollowsItsFormula) {
  Parameters parameters({{"a", {2}, 1, 0, true}, {"b", {1}, 1, 0, false}}, 0);
  Adam adam(parameters, 0.1, 0.5);
  double value[3] = {1, 1, 1}, first[3] = {}, second[3] = {};
  for (int step = 1; step <= 4; ++step) {
    for (int i = 0; i < 3; ++i) {
      parameters.gradients()[i] = static_cast<float>(3 * i - 2 + step);
      const double gradient = (3 * i - 2 + step) * 0.25;
      first[i] = 0.9 * first[i] + 0.1 * gradient;
      second[i] = 0.999 * second[i] + 0.001 * gradient * gradient;
      if (i < 2) value[i] *= 1 - 0.1 * 0.5;
      value[i] -= 0.1 * first[i] / (1 - std::pow(0.9, step)) / (std::sqrt(second[i] / (1 - std::pow(0.999, step))) + 1e-8);
    }
    adam.step(0.25f);
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(parameters.values()[i], value[i], 1e-5);
  }
}

}  // namespace
}  // namespace thinkrec
