// The training step of several adapters at once, and over several ranks.
#include "train/step.h"

#include <ATen/Context.h>

#include "support/mpi_world.h"
#include "train/device.h"
#include "train/step_testing.h"

namespace thinkrec {
namespace {

using testing::Trained;
using testing::Training;

TEST(Step, AdaptersTogetherTrainAsEachAlone) {
  const testing::TinyModel model(testing::tiny_config());
  for (const std::int64_t first_layer : {0, 2}) {
    const auto together =
        testing::train_together(*model, {.first_layer = first_layer, .micro_tokens = 90}, {1, 2, 3}, test_world());
    for (std::size_t i = 0; i < together.size(); ++i) {
      const Trained alone =
          testing::train_together(*model, {.first_layer = first_layer}, {static_cast<unsigned>(i + 1)}, test_world())[0];
      testing::expect_same_training(together[i], alone);
    }
    EXPECT_NE(together[0].losses, together[1].losses);
  }
}

TEST(Step, StrictGivesTheBitsOfOneRankAndOfEachAlone) {
  const testing::TinyModel model(testing::tiny_config());
  const Training strict{.first_layer = 1, .strict = true};
  const auto ranks = testing::train_together(*model, strict, {1, 2}, test_world());
  const auto solo = make_solo_collectives();
  const auto one = testing::train_together(*model, strict, {1, 2}, *solo);
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(ranks[i].losses, one[i].losses);
    for (std::size_t p = 0; p < one[i].parameters.size(); ++p)
      EXPECT_TRUE(at::equal(ranks[i].parameters[p].second, one[i].parameters[p].second)) << one[i].parameters[p].first;
    const Trained alone = testing::train_together(*model, strict, {static_cast<unsigned>(i + 1)}, *solo)[0];
    EXPECT_EQ(one[i].losses, alone.losses);
    for (std::size_t p = 0; p < one[i].parameters.size(); ++p)
      EXPECT_TRUE(at::equal(one[i].parameters[p].second, alone.parameters[p].second)) << one[i].parameters[p].first;
  }
}

TEST(Step, RowsThatShareTheirBeginningsTrainAsRowsApart) {
  const testing::TinyModel model(testing::tiny_config());
  for (const std::int64_t first_layer : {0, 2}) {
    const Training apart{.first_layer = first_layer, .micro_tokens = 200, .dropout = 0}, shared{first_layer, 200, false, true, 0};
    const auto wanted = testing::train_together(*model, apart, {1, 2}, test_world());
    const auto got = testing::train_together(*model, shared, {1, 2}, test_world());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      testing::expect_same_training(got[i], wanted[i]);
      EXPECT_LT(got[i].computed, wanted[i].computed - 3 * 2 * 20);  // three steps, at least two pairs
    }
  }
}

TEST(Step, RowsThatShareTheirBeginningsAreDroppedAlikeOnAnyNumberOfRanks) {
  const testing::TinyModel model(testing::tiny_config());
  for (const std::int64_t first_layer : {0, 2}) {
    const Training shared{.first_layer = first_layer, .micro_tokens = 200, .share = true, .dropout = 0.3, .rows_per_user = 6};
    const auto one = testing::train_together(*model, shared, {1}, *make_solo_collectives());
    const auto ranks = testing::train_together(*model, shared, {1}, test_world());
    testing::expect_same_training(ranks[0], one[0]);
    // All rows are one user's, whose unit is split.
    if (test_world().size() > 1) {
      EXPECT_GT(ranks[0].computed, one[0].computed);
    }
  }
}

TEST(Step, ActivationsComputedAgainGiveTheSameBits) {
  const testing::TinyModel model(testing::tiny_config());
  for (const std::int64_t first_layer : {0, 2}) {
    const auto kept = testing::train_together(*model, {.first_layer = first_layer}, {1}, test_world())[0];
    const auto again = testing::train_together(*model, {.first_layer = first_layer, .recompute = true}, {1}, test_world())[0];
    EXPECT_EQ(again.losses, kept.losses);
    EXPECT_EQ(again.norms, kept.norms);
    for (std::size_t p = 0; p < kept.parameters.size(); ++p)
      EXPECT_TRUE(at::equal(again.parameters[p].second, kept.parameters[p].second)) << kept.parameters[p].first;
  }
}

TEST(Step, ALossAboveTheLimitUpdatesNothing) {
  const testing::TinyModel model(testing::tiny_config());
  testing::TestLane lane(*model, 0, 1);
  const Projector none;
  StepConfig config;
  config.yes_token = 11;
  StepEngine engine(*model, {lane.step_lane()}, none, nullptr, config, test_world());
  const auto values = [&] {
    std::vector<at::Tensor> copies;
    for (const auto& [name, tensor] : lane.result().parameters) copies.push_back(tensor.clone());
    return copies;
  };
  const auto same = [](const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return at::equal(x, y); });
  };
  const auto before = values();
  LaneRows part = lane.part(0);
  part.loss_limit = 0;
  const StepResult leapt = engine.run(1, std::span(&part, 1))[0];
  EXPECT_TRUE(leapt.leapt && leapt.finite);
  EXPECT_TRUE(same(before, values()));
  part.loss_limit = leapt.loss;
  const StepResult taken = engine.run(1, std::span(&part, 1))[0];
  EXPECT_FALSE(taken.leapt);
  EXPECT_FALSE(same(before, values()));
}

TEST(Step, MatmulPrecisionRoundsTheFactorsOfProductsAlone) {
  const testing::TinyModel model(testing::tiny_config());
  const auto trained = [&](const char* precision) {
    choose_device({"cpu", "auto", true, precision}, test_world());
    EXPECT_EQ(at::globalContext().float32MatmulPrecision() == at::Float32MatmulPrecision::MEDIUM, precision == std::string("medium"));
    return testing::train_together(*model, {.dropout = 0}, {1}, test_world())[0];
  };
  const Trained exact = trained("highest"), again = trained("high"), rounded = trained("medium"), back = trained("highest");
  EXPECT_EQ(exact.losses, back.losses);
  EXPECT_EQ(exact.losses, again.losses);  // TF32 is for GPUs
  for (std::size_t i = 0; i < exact.losses.size(); ++i) {
    EXPECT_NEAR(rounded.losses[i], exact.losses[i], 0.02 * exact.losses[i]);
  }
}

}  // namespace
}  // namespace thinkrec
