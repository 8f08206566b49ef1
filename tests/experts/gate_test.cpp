#include "experts/gate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/testing.h"

namespace thinkrec {
namespace {

using Weights = std::vector<double>;
using Vector = std::vector<float>;

Grouping grouping_of(int groups, Vector center, Vector scale, Vector means) {
  return {groups, {}, std::move(center), std::move(scale), std::move(means)};
}

GateDecision decide(Weights weights, const GateConfig& config = {}) {
  return gate_from_weights(std::move(weights), config).decision;
}

TEST(GateFromWeights, SingleBorderIsStrict) {
  for (const int n : {2, 3, 4, 7}) {
    const double border = 0.5 + 0.6 / n;
    const auto with = [&](double most) {
      Weights weights(static_cast<std::size_t>(n), (1 - most) / (n - 1));
      weights[1] = most;
      return gate_from_weights(weights, {});
    };
    EXPECT_EQ(with(border).decision, GateDecision::kMerged) << n;
    EXPECT_EQ(with(border).expert, -1);
    EXPECT_EQ(with(std::nextafter(border, 1)).decision, GateDecision::kSingle) << n;
    EXPECT_EQ(with(std::nextafter(border, 1)).expert, 1);
    EXPECT_EQ(with(std::nextafter(border, 0)).decision, GateDecision::kMerged) << n;
  }
}

TEST(GateFromWeights, EntropyBorderIsStrict) {
  const Weights weights = {0.75, 0.25};
  const Gate gate = gate_from_weights(weights, {});
  EXPECT_NEAR(gate.entropy, 0.5623351446188083, 1e-15);
  // Shares at which share * ln 2 lies just above, and just below, the entropy.
  double above = gate.entropy / std::log(2.0);
  while (above * std::log(2.0) < gate.entropy) above = std::nextafter(above, 1);
  double below = above;
  while (below * std::log(2.0) >= gate.entropy) below = std::nextafter(below, 0);
  EXPECT_EQ(decide(weights, {.entropy_share = above}), GateDecision::kMerged);
  EXPECT_EQ(decide(weights, {.entropy_share = below}), GateDecision::kGlobal);
  // Equal to the border: uniform weights of two have entropy ln 2 to the last bit, which is not above 1 * ln 2.
  EXPECT_EQ(decide({0.5, 0.5}, {.entropy_share = 1}), GateDecision::kMerged);
  EXPECT_EQ(decide({0.5, 0.5}), GateDecision::kGlobal);
}

TEST(GateFromWeights, EntropyComesFirst) {
  // With a low share both conditions hold; averaged wins, as in Eq. 10.
  EXPECT_EQ(decide({0.9, 0.1}, {.entropy_share = 0.1}), GateDecision::kGlobal);
}

TEST(GateFromWeights, OneGroupIsServedByItsExpert) {
  const Gate gate = gate_from_weights({1}, {});
  EXPECT_EQ(gate.decision, GateDecision::kSingle);
  EXPECT_EQ(gate.expert, 0);
  EXPECT_EQ(gate.entropy, 0);
  EXPECT_EQ(gate_from_weights({std::nextafter(1, 2)}, {}).decision, GateDecision::kSingle);  // rounded weights, too
}

TEST(GateFromWeights, ZeroWeightsAndTies) {
  const Gate gate = gate_from_weights({0, 0, 1}, {});
  EXPECT_EQ(gate.entropy, 0);
  EXPECT_EQ(gate.expert, 2);
  EXPECT_EQ(gate_from_weights({0.5, 0.5}, {.entropy_share = 1, .single_base = 0.1}).expert, 0);
}

TEST(GateFromWeights, Refuses) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  testing::expect_error(ExitCode::kInternal, "no experts", [] { gate_from_weights({}, {}); });
  testing::expect_error(ExitCode::kInternal, "weight -0.5", [] { gate_from_weights({1.5, -0.5}, {}); });
  testing::expect_error(ExitCode::kInternal, "weight nan", [&] { gate_from_weights({nan}, {}); });
  testing::expect_error(ExitCode::kInternal, "sum to 0.75", [] { gate_from_weights({0.5, 0.25}, {}); });
}

TEST(GateUser, SoftmaxOfScaledCosines) {
  // Scaled user (2, 0); cosines 1, 0.6 and -0.8.
  const Grouping grouping = grouping_of(3, {1, -1}, {0.5, 2}, {1, 0, 3, 4, -4, 3});
  const Gate gate = gate_user(Vector{2, -1}, grouping, {.temperature = 0.5});
  const double a = std::exp(1 / 0.5), b = std::exp(0.6 / 0.5), c = std::exp(-0.8 / 0.5);
  ASSERT_EQ(gate.weights.size(), 3u);
  EXPECT_NEAR(gate.weights[0], a / (a + b + c), 1e-15);
  EXPECT_NEAR(gate.weights[1], b / (a + b + c), 1e-15);
  EXPECT_NEAR(gate.weights[2], c / (a + b + c), 1e-15);
  EXPECT_EQ(gate.decision, GateDecision::kMerged);
  const Gate sharp = gate_user(Vector{2, -1}, grouping, {});
  EXPECT_EQ(sharp.decision, GateDecision::kSingle);
  EXPECT_EQ(sharp.expert, 0);
}

TEST(GateUser, CosineGapsOfTwoGroups) {
  // Reference notes (f): with N = 2 the expert serves above a gap of 0.1386, the global adapter up to about 0.054.
  const Grouping grouping = grouping_of(2, {0, 0}, {1, 1}, {1, 0, 0, 1});
  const auto with_gap = [&](double gap) {
    const double angle = std::asin(gap / std::sqrt(2.0));  // cos - sin = sqrt(2) sin(pi/4 - x)
    return gate_user(Vector{static_cast<float>(std::cos(M_PI / 4 - angle)), static_cast<float>(std::sin(M_PI / 4 - angle))},
                     grouping, {});
  };
  EXPECT_EQ(with_gap(0.05).decision, GateDecision::kGlobal);
  EXPECT_EQ(with_gap(0.06).decision, GateDecision::kMerged);
  EXPECT_EQ(with_gap(0.138).decision, GateDecision::kMerged);
  EXPECT_EQ(with_gap(0.1395).decision, GateDecision::kSingle);
  EXPECT_EQ(with_gap(-0.1395).expert, 1);
}

TEST(GateUser, ZeroVectorsGoToTheGlobalAdapter) {
  const Grouping grouping = grouping_of(2, {3, 4}, {1, 1}, {1, 0, -1, 0});
  const Gate gate = gate_user(Vector{3, 4}, grouping, {});
  EXPECT_EQ(gate.weights, (Weights{0.5, 0.5}));
  EXPECT_EQ(gate.decision, GateDecision::kGlobal);
  // A zero mean counts as cosine 0, not NaN: one group only has the mean 0 by construction.
  EXPECT_EQ(gate_user(Vector{9, 9}, grouping_of(1, {3, 4}, {1, 1}, {0, 0}), {}).decision, GateDecision::kSingle);
  // Lengths at the ends of float's range neither overflow nor vanish.
  const float big = std::numeric_limits<float>::max(), small = std::numeric_limits<float>::denorm_min();
  const Gate extreme = gate_user(Vector{big, 0}, grouping_of(2, {0, 0}, {1, 1}, {small, 0, -big, 0}), {});
  EXPECT_NEAR(extreme.weights[0], 1 / (1 + std::exp(-20.0)), 1e-12);
}

TEST(GateUser, MembersFollowTheirGroup) {
  // Two far blobs: every user is served by the expert of the own group.
  Vector vectors;
  for (int user = 0; user < 30; ++user) {
    const float side = user % 3 == 0 ? 5.0f : -5.0f;
    vectors.insert(vectors.end(), {100 + side + 0.01f * static_cast<float>(user), side - 0.02f * static_cast<float>(user)});
  }
  for (const GroupingMethod method : {GroupingMethod::kKmeans, GroupingMethod::kWard}) {
    const Grouping grouping = group_users(vectors, 30, 2, 2, method, 1);
    for (std::size_t user = 0; user < 30; ++user) {
      const Gate gate = gate_user(std::span(vectors).subspan(2 * user, 2), grouping, {});
      EXPECT_EQ(gate.decision, GateDecision::kSingle);
      EXPECT_EQ(gate.expert, grouping.group_of_user[user]);
    }
  }
}

TEST(GateUser, Refuses) {
  const Grouping grouping = grouping_of(2, {0, 0}, {1, 1}, {1, 0, -1, 0});
  const Vector user = {1, 2};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double temperature : {0.0, -1.0, nan}) {
    testing::expect_error(ExitCode::kConfig, "gate.temperature",
                          [&] { gate_user(user, grouping, {.temperature = temperature}); });
  }
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    testing::expect_error(ExitCode::kDiverged, "not finite", [&] { gate_user(Vector{1, bad}, grouping, {}); });
  }
  testing::expect_error(ExitCode::kInternal, "width 3", [&] { gate_user(Vector{1, 2, 3}, grouping, {}); });
  testing::expect_error(ExitCode::kInternal, "0 groups", [&] { gate_user(user, Grouping{}, {}); });
  testing::expect_error(ExitCode::kInternal, "3 groups", [&] {
    gate_user(user, grouping_of(3, {0, 0}, {1, 1}, {1, 0, -1, 0}), {});
  });
}

}  // namespace
}  // namespace thinkrec
