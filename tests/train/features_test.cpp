// Vectors of the slots, with and without statistics.
#include "train/features.h"

#include "encoders/encoders_testing.h"
#include "support/tensors.h"
#include "train/session.h"

namespace thinkrec {
namespace {

using Kind = FeatureRef::Kind;

struct World {
  Dataset dataset = testing::taste_dataset(40, 12, 20, 3);
  std::unique_ptr<Encoder> encoder = testing::trained(testing::small_config("mf"), dataset);
  HeldOutScores held_out;
  World() {
    for (std::size_t i = 0; i < dataset.rows(Split::kTrain).size(); ++i) held_out.push_back(static_cast<float>(i % 7) - 3);
  }
  std::int64_t train(std::size_t i) const { return dataset.rows(Split::kTrain)[i]; }
  std::int64_t item(std::int64_t row) const { return dataset.item[static_cast<std::size_t>(row)]; }
};

TEST(FeatureBank, WithoutStatisticsATargetIsItsItem) {
  const World world;
  const FeatureBank bank(*world.encoder, world.dataset);
  EXPECT_EQ(bank.width(), 16);
  const std::int64_t row = world.train(3), item = world.item(row);
  const std::vector<FeatureRef> slots = {{Kind::kItem, item}, {Kind::kTarget, row, item}, {Kind::kUser, row}};
  const at::Tensor vectors = bank.gather(slots);
  EXPECT_TRUE(at::equal(vectors[0], vectors[1]));
  EXPECT_FALSE(at::equal(vectors[0], vectors[2]));
}

TEST(FeatureBank, StatisticsStandBehindTheVectors) {
  const World world;
  const FeatureBank bank(*world.encoder, world.dataset, &world.held_out);
  EXPECT_EQ(bank.width(), 16 + 5);
  const std::int64_t row = world.train(10), item = world.item(row);
  const std::vector<FeatureRef> slots = {{Kind::kItem, item}, {Kind::kTarget, row, item}, {Kind::kUser, row}};
  const at::Tensor values = bank.gather(slots).narrow(1, 16, 5);
  const RowStatistics statistics(world.dataset);
  const auto own = statistics.standard(statistics.of_row(row));
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_NEAR(values[1][i].item<double>(), own[static_cast<std::size_t>(i)], 1e-6);
  // The item in the history: its rate and count over all train rows; the user: both rates of the history.
  EXPECT_EQ(values[0][1].item<double>(), 0);
  EXPECT_EQ(values[0][2].item<double>(), 0);
  EXPECT_NE(values[0][0].item<double>(), values[1][0].item<double>());  // the target does not count itself
  EXPECT_EQ(values[2][0].item<double>(), 0);
  EXPECT_EQ(values[2][3].item<double>(), 0);
  EXPECT_NEAR(values[2][1].item<double>(), own[1], 1e-6);
  EXPECT_EQ(values[0][4].item<double>(), 0);
  // The logit of a train row is the held-out one, z-scored.
  const at::Tensor held = at::tensor(world.held_out).to(at::kDouble);
  EXPECT_NEAR(values[1][4].item<double>(),
              (world.held_out[10] - held.mean().item<double>()) / held.std(/*unbiased=*/false).item<double>(), 1e-5);
}

TEST(FeatureBank, ANewRowHasTheEncodersOwnLogit) {
  const World world;
  const FeatureBank bank(*world.encoder, world.dataset, &world.held_out);
  const std::int64_t row = world.dataset.rows(Split::kTest)[5], item = world.item(row);
  const FeatureRef slot{Kind::kTarget, row, item};
  const at::Tensor held = at::tensor(world.held_out).to(at::kDouble);
  const double wanted = (world.encoder->scores(world.dataset, std::span(&row, 1))[0] - held.mean().item<double>()) /
                        held.std(/*unbiased=*/false).item<double>();
  EXPECT_NEAR(bank.gather(std::span(&slot, 1))[0][20].item<double>(), wanted, 1e-5);
  // So has another item for the user of a train row.
  const std::int64_t train = world.train(4);
  const FeatureRef other{Kind::kTarget, train, (world.item(train) + 1) % 12};
  const at::Tensor user = world.encoder->user_vectors(world.dataset, std::span(&train, 1))[0];
  const double logit = at::dot(user, world.encoder->item_vectors()[other.item]).item<double>();
  EXPECT_NEAR(bank.gather(std::span(&other, 1))[0][20].item<double>(),
              (logit - held.mean().item<double>()) / held.std(/*unbiased=*/false).item<double>(), 1e-5);
}

TEST(FeatureBank, ProjectsEachSlotOnceAndPutsLearntTokensIn) {
  const World world;
  const FeatureBank bank(*world.encoder, world.dataset, &world.held_out);
  const Projector projector(bank.width(), 24, {}, 0.1, 3, /*soft_tokens=*/2);
  const std::vector<FeatureRef> slots = {
      {Kind::kSoft, 1}, {Kind::kItem, 4}, {Kind::kItem, 4}, {Kind::kSoft, 0}, {Kind::kItem, 2}};
  const at::Tensor projected = bank.project(projector, slots);
  EXPECT_EQ(projected.sizes(), at::IntArrayRef({5, 24}));
  EXPECT_TRUE(at::equal(projected[0], projector.soft()[1]));
  EXPECT_TRUE(at::equal(projected[3], projector.soft()[0]));
  EXPECT_TRUE(at::equal(projected[1], projected[2]));
  const FeatureRef alone{Kind::kItem, 2};
  testing::expect_close(projected[4], projector.apply(bank.gather(std::span(&alone, 1)))[0], 1e-6);
  EXPECT_FALSE(bank.project(projector, {}).defined());
  // Learnt tokens alone need no projection.
  const Projector tokens(0, 24, {}, 0.1, 3, 2);
  EXPECT_TRUE(at::equal(bank.project(tokens, std::span(slots).subspan(0, 1))[0], tokens.soft()[1]));
  EXPECT_EQ(tokens.named().size(), 1U);
  EXPECT_THROW(bank.project(tokens, slots), Error);
  EXPECT_THROW(bank.gather(std::span(slots).subspan(0, 1)), Error);
  const Projector none(bank.width(), 24, {}, 0.1, 3);
  EXPECT_THROW(bank.project(none, std::span(slots).subspan(0, 1)), Error);
}

TEST(FeatureBank, WantsAHeldOutScoreForEachTrainRow) {
  World world;
  world.held_out.pop_back();
  EXPECT_THROW(FeatureBank(*world.encoder, world.dataset, &world.held_out), Error);
}

TEST(SampleTrainRows, IsMadeOfRunsOfAUsersNeighbours) {
  const World world;
  std::vector<std::int64_t> train = world.dataset.rows(Split::kTrain);
  EXPECT_EQ(sample_train_rows(world.dataset, 0, 3, 5), train);
  EXPECT_EQ(sample_train_rows(world.dataset, 1'000'000, 3, 5), train);
  std::sort(train.begin(), train.end());
  const auto one = sample_train_rows(world.dataset, 60, 1, 5), three = sample_train_rows(world.dataset, 60, 3, 5);
  EXPECT_EQ(one.size(), 60U);
  EXPECT_EQ(three.size(), 60U);
  EXPECT_EQ(three, sample_train_rows(world.dataset, 60, 3, 5));
  EXPECT_NE(three, sample_train_rows(world.dataset, 60, 3, 6));
  const auto neighbours = [&](const std::vector<std::int64_t>& rows) {
    int count = 0;
    for (std::size_t i = 1; i < rows.size(); ++i) {
      const auto at = std::lower_bound(train.begin(), train.end(), rows[i]);
      EXPECT_EQ(*at, rows[i]);
      count += *(at - 1) == rows[i - 1] && world.dataset.user[static_cast<std::size_t>(rows[i - 1])] ==
                                               world.dataset.user[static_cast<std::size_t>(rows[i])];
    }
    return count;
  };
  EXPECT_GE(neighbours(three), 35);  // of 40 in whole runs of three
  EXPECT_LT(neighbours(one), 20);
}

}  // namespace
}  // namespace thinkrec
