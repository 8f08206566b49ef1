#include <ATen/ATen.h>

#include "encoders/random.h"
#include "encoders/sasrec_net.h"
#include "encoders_testing.h"

namespace thinkrec {
namespace {

using testing::small_config;
using testing::taste_dataset;
using testing::trained;

TEST(Sasrec, KeepsItsPromisesAboutHistories) {
  const Dataset dataset = taste_dataset(50, 12, 30, 4);
  for (bool all_positions : {true, false}) {
    EncoderConfig config = small_config("sasrec");
    config.all_positions = all_positions;
    testing::expect_honest_histories(*trained(config, dataset), dataset);
  }
}

TEST(Sasrec, RestoresBitForBit) {
  const Dataset dataset = taste_dataset(30, 12, 20, 5);
  testing::expect_restores(*trained(small_config("sasrec"), dataset), dataset);
}

TEST(Sasrec, SameSeedSameBits) {
  const Dataset dataset = taste_dataset(30, 12, 20, 5);
  EncoderConfig config = small_config("sasrec");
  const auto rows = testing::all_rows(dataset);
  const auto one = trained(config, dataset)->scores(dataset, rows);
  EXPECT_EQ(trained(config, dataset)->scores(dataset, rows), one);
  config.seed = 8;
  EXPECT_NE(trained(config, dataset)->scores(dataset, rows), one);
}

TEST(Sasrec, LearnsTaste) {
  const Dataset dataset = taste_dataset(300, 20, 40, 6);
  EncoderConfig config = small_config("sasrec");
  config.max_epochs = 12;
  std::vector<std::int64_t> rows;
  for (std::int64_t row : dataset.rows(Split::kTest))
    if (row - dataset.user_begin[dataset.user[row]] >= 4) rows.push_back(row);
  const auto encoder = trained(config, dataset);
  EXPECT_GT(testing::area(dataset, rows, encoder->scores(dataset, rows)), 0.78);
}

TEST(Sasrec, ForgetsWhatIsOlderThanItsWindow) {
  Dataset dataset = taste_dataset(50, 12, 30, 4);
  EncoderConfig config = small_config("sasrec");
  config.all_positions = false;
  const auto encoder = trained(config, dataset);
  std::int64_t user = 0;
  while (dataset.user_begin[user + 1] - dataset.user_begin[user] < 12) ++user;
  const std::int64_t row = dataset.user_begin[user] + 11;
  const at::Tensor before = encoder->user_vectors(dataset, std::span(&row, 1));
  dataset.label[row - 9] ^= 1;
  EXPECT_TRUE(at::equal(encoder->user_vectors(dataset, std::span(&row, 1)), before));
  dataset.label[row - 8] ^= 1;
  EXPECT_FALSE(at::equal(encoder->user_vectors(dataset, std::span(&row, 1)), before));
}

struct TinyCase {
  explicit TinyCase(EncoderConfig config) : net(config, 5) {
    items = at::tensor(std::vector<std::int64_t>{0, 1, 2, 4, 3, 0}).view({2, 3});
    labels = at::tensor(std::vector<std::int64_t>{1, 0, 1, 0, 0, 0}).view({2, 3});
    cut = at::tensor(std::vector<std::int64_t>{0, 1});
  }
  SasrecNet net;
  at::Tensor items, labels, cut;
};

EncoderConfig tiny_config() {
  EncoderConfig config;
  config.width = 6;
  config.heads = 2;
  config.max_length = 3;
  config.seed = 3;
  return config;
}

TEST(SasrecNet, StatesSeeNeitherLaterItemsNorPadding) {
  TinyCase tiny(tiny_config());
  const at::Tensor states = tiny.net.states(tiny.items, tiny.labels, tiny.cut);
  ASSERT_EQ(states.sizes(), at::IntArrayRef({2, 4, 6}));
  for (int position = 0; position < 3; ++position) {
    at::Tensor items = tiny.items.clone(), labels = tiny.labels.clone();
    items.narrow(1, position, 3 - position).fill_(2);
    labels.narrow(1, position, 3 - position).fill_(1);
    const at::Tensor changed = tiny.net.states(items, labels, tiny.cut);
    EXPECT_TRUE(at::equal(changed.narrow(1, 0, position + 1), states.narrow(1, 0, position + 1)));
    EXPECT_FALSE(at::equal(changed.select(1, position + 1), states.select(1, position + 1)));
    // A shorter batch gives the same states.
    const at::Tensor shorter = tiny.net.states(tiny.items.narrow(1, 0, position), tiny.labels.narrow(1, 0, position), tiny.cut);
    EXPECT_TRUE(at::allclose(shorter, states.narrow(1, 0, position + 1), 1e-5, 1e-6));
  }
}

TEST(SasrecNet, DropoutBelongsToTheWindowAndNotToItsCompany) {
  TinyCase tiny(tiny_config());
  const std::vector<std::int64_t> keys = {11, 12};
  const auto dropped = [&](std::int64_t first, std::int64_t count, std::uint64_t step) {
    return tiny.net.states(tiny.items.narrow(0, first, count), tiny.labels.narrow(0, first, count),
                           tiny.cut.narrow(0, first, count), WindowDropout{0.5, step, std::span(keys).subspan(first, count)});
  };
  const at::Tensor both = dropped(0, 2, 1);
  EXPECT_TRUE(at::allclose(dropped(1, 1, 1)[0], both[1], 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(dropped(0, 2, 2), both, 1e-3, 1e-3));
  EXPECT_FALSE(at::allclose(tiny.net.states(tiny.items, tiny.labels, tiny.cut), both, 1e-3, 1e-3));
}

TEST(SasrecNet, GradientsAgreeWithDifferences) {
  TinyCase tiny(tiny_config());
  // Items for which no unit of the ReLUs is about to switch: at a kink the differences say nothing (checked at steps 1e-3 to
  // 4e-3).
  // Items at which no ReLU is about to switch: at a kink, differences say nothing.
  tiny.net.start_from(testing::normal({5, 6}, 8) * 0.5, at::ones({6}) * 0.2);
  const std::vector<std::int64_t> keys = {11, 12};
  const at::Tensor labels = at::tensor(std::vector<float>{1, 0, 0, 1, 0, 1, 1, 0}).view({2, 4});
  const at::Tensor targets = at::tensor(std::vector<std::int64_t>{1, 2, 4, 0, 3, 3, 1, 2}).view({2, 4});
  const auto loss = [&] {
    const at::Tensor states = tiny.net.states(tiny.items, tiny.labels, tiny.cut, WindowDropout{0.25, 9, keys});
    return at::binary_cross_entropy_with_logits((states * tiny.net.item_vectors(targets)).sum(-1), labels, {}, {},
                                                at::Reduction::Sum);
  };
  loss().backward();
  Parameters& parameters = tiny.net.parameters();
  for (std::size_t part = 0; part < parameters.specs().size(); ++part) {
    // The element with the largest gradient: fp32 differences see little else.
    std::int64_t largest = parameters.begin(part);
    for (std::int64_t i = largest; i < parameters.begin(part + 1); ++i)
      if (std::abs(parameters.gradients()[i]) > std::abs(parameters.gradients()[largest])) largest = i;
    const double gradient = parameters.gradients()[largest];
    EXPECT_NE(gradient, 0) << parameters.specs()[part].name;
    const float value = parameters.values()[largest], step = 2e-3f;
    parameters.values()[largest] = value + step;
    const double above = loss().item<double>();
    parameters.values()[largest] = value - step;
    const double below = loss().item<double>();
    parameters.values()[largest] = value;
    EXPECT_NEAR((above - below) / (2 * step), gradient, 0.03 * std::abs(gradient) + 2e-3) << parameters.specs()[part].name;
  }
}

TEST(Sasrec, WithFoldInItHoldsAFactorisationToo) {
  const Dataset dataset = testing::taste_dataset(60, 12, 30, 4);
  EncoderConfig config = testing::small_config("sasrec");
  config.fold_in = true;
  const auto encoder = testing::trained(config, dataset);
  EXPECT_EQ(encoder->width(), 2 * config.width);
  EXPECT_EQ(encoder->item_vectors().size(1), 2 * config.width);
  testing::expect_restores(*encoder, dataset);
  testing::expect_honest_histories(*encoder, dataset);
  auto parameters = encoder->parameters();
  for (auto& [name, tensor] : parameters)
    if (name == "sasrec.share") tensor.fill_(2);
  testing::expect_error(ExitCode::kBadData, "sasrec.share is missing or not from 0 to 1",
                        [&] { restore_encoder(config, dataset, parameters); });
  config.warm_start = false;
  testing::expect_error(ExitCode::kConfig, "fold_in", [&] { check_encoder_config(config); });
}

}  // namespace
}  // namespace thinkrec
