// Data parallel training agrees with training alone; runs on 1, 2 and 3 ranks.
#include <sstream>

#include "encoders_testing.h"
#include "support/mpi_world.h"

namespace thinkrec {
namespace {

using testing::small_config;
using testing::taste_dataset;
using testing::trained;

/// A kind, then options of it.
class Ranks : public ::testing::TestWithParam<const char*> {
 protected:
  static EncoderConfig config() {
    std::istringstream words(GetParam());
    std::string word;
    words >> word;
    EncoderConfig config = small_config(word);
    while (words >> word) {
      if (word == "plain") config.biases = false;
      if (word == "recency") config.recency = 4;
      if (word == "fold_in") config.fold_in = true;
      if (word == "bpr" || word == "softmax") config.loss = word;
    }
    return config;
  }
};

TEST_P(Ranks, AgreeWithTrainingAlone) {
  const Dataset dataset = taste_dataset(40, 12, 25, 9);
  EncoderConfig config = Ranks::config();
  config.learning_rate = 1e-3;
  config.max_epochs = 2;
  Collectives& world = test_world();
  const auto solo = make_solo_collectives();
  std::vector<EncoderProgress> together_reports, alone_reports;
  const auto together = trained(config, dataset, world, [&](const auto& progress) { together_reports.push_back(progress); });
  const auto alone = trained(config, dataset, *solo, [&](const auto& progress) { alone_reports.push_back(progress); });

  const auto parameters = together->parameters(), expected = alone->parameters();
  ASSERT_EQ(parameters.size(), expected.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_EQ(parameters[i].first, expected[i].first);
    EXPECT_LT((parameters[i].second - expected[i].second).abs().max().item<double>(), 1e-5) << parameters[i].first;
  }
  ASSERT_EQ(together_reports.size(), alone_reports.size());
  for (std::size_t i = 0; i < alone_reports.size(); ++i) {
    EXPECT_NEAR(together_reports[i].train_loss, alone_reports[i].train_loss, 1e-5);
    EXPECT_NEAR(together_reports[i].valid_score, alone_reports[i].valid_score, 1e-3);
  }

  // All ranks hold the same bits.
  const at::Tensor items = together->item_vectors().contiguous();
  const std::span<const float> mine(items.const_data_ptr<float>(), items.numel());
  const std::vector<float> all = all_gather_values(world, mine);
  ASSERT_EQ(all.size(), mine.size() * world.size());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], mine[i % mine.size()]);
}

/// Fewer samples in a batch than ranks: some ranks have nothing to do in a step.
TEST_P(Ranks, MayOutnumberTheSamplesOfABatch) {
  const Dataset dataset = taste_dataset(6, 5, 8, 9);
  EncoderConfig config = Ranks::config();
  config.learning_rate = 1e-3;
  config.batch = 1;
  config.max_epochs = 1;
  Collectives& world = test_world();
  const auto items = trained(config, dataset, world)->item_vectors(), expected = trained(config, dataset)->item_vectors();
  EXPECT_LT((items - expected).abs().max().item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Ranks,
                         ::testing::Values("sasrec", "mf", "lightgcn", "mf plain softmax", "lightgcn plain bpr", "mf recency",
                                           "sasrec fold_in"));

}  // namespace
}  // namespace thinkrec
