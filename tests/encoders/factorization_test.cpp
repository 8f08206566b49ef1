#include <ATen/ATen.h>

#include "encoders/graph.h"
#include "encoders_testing.h"

namespace thinkrec {
namespace {

using testing::small_config;
using testing::taste_dataset;
using testing::trained;

class Factorization : public ::testing::TestWithParam<const char*> {};

TEST_P(Factorization, KeepsItsPromisesAboutHistories) {
  const Dataset dataset = taste_dataset(50, 12, 30, 4);
  testing::expect_honest_histories(*trained(small_config(GetParam()), dataset), dataset);
}

TEST_P(Factorization, RestoresBitForBit) {
  const Dataset dataset = taste_dataset(30, 12, 20, 5);
  const auto encoder = trained(small_config(GetParam()), dataset);
  testing::expect_restores(*encoder, dataset);
  for (const auto& [name, tensor] : encoder->parameters())
    EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;  // as checkpoints hold
  for (double ridge : {0.0, -1.0, std::nan("")}) {
    auto parameters = encoder->parameters();
    parameters.back().second.fill_(ridge);
    testing::expect_error(ExitCode::kBadData, "not a positive number",
                          [&] { restore_encoder(encoder->config(), dataset, parameters); });
  }
}

TEST_P(Factorization, SameSeedSameBits) {
  const Dataset dataset = taste_dataset(30, 12, 20, 5);
  EncoderConfig config = small_config(GetParam());
  const auto one = trained(config, dataset)->item_vectors();
  EXPECT_TRUE(at::equal(trained(config, dataset)->item_vectors(), one));
  config.seed = 8;
  EXPECT_FALSE(at::equal(trained(config, dataset)->item_vectors(), one));
}

TEST_P(Factorization, LearnsTaste) {
  const Dataset dataset = taste_dataset(300, 20, 40, 6);
  EncoderConfig config = small_config(GetParam());
  config.max_epochs = 15;
  std::vector<std::int64_t> rows;
  for (std::int64_t row : dataset.rows(Split::kTest))
    if (row - dataset.user_begin[dataset.user[row]] >= 4) rows.push_back(row);
  EXPECT_GT(testing::area(dataset, rows, trained(config, dataset)->scores(dataset, rows)), 0.78);
}

TEST_P(Factorization, EveryLossLearnsAndRestores) {
  const Dataset dataset = taste_dataset(300, 20, 40, 6);
  for (const char* loss : {"bpr", "softmax"}) {
    EncoderConfig config = small_config(GetParam());
    config.max_epochs = 15;
    config.loss = loss;
    const auto encoder = trained(config, dataset);
    std::vector<std::int64_t> rows;
    for (std::int64_t row : dataset.rows(Split::kTest))
      if (row - dataset.user_begin[dataset.user[row]] >= 4) rows.push_back(row);
    EXPECT_GT(testing::area(dataset, rows, encoder->scores(dataset, rows)), 0.72) << loss;
    testing::expect_restores(*encoder, dataset);
  }
}

TEST_P(Factorization, WithoutBiasesItHasNoSharedVectors) {
  const Dataset dataset = taste_dataset(60, 12, 30, 4);
  EncoderConfig config = small_config(GetParam());
  const auto with = trained(config, dataset);
  config.biases = false;
  const auto without = trained(config, dataset);
  EXPECT_LT(without->item_vectors().mean(0).norm().item<double>(), with->item_vectors().mean(0).norm().item<double>());
  testing::expect_restores(*without, dataset);
  testing::expect_honest_histories(*without, dataset);
}

TEST_P(Factorization, RecencyIsOneMoreCoordinateThatForgets) {
  Dataset dataset = taste_dataset(60, 12, 30, 4);
  EncoderConfig config = small_config(GetParam());
  config.recency = 2;
  const auto encoder = trained(config, dataset);
  EXPECT_EQ(encoder->width(), config.width + 1);
  EXPECT_EQ(encoder->item_vectors().size(1), config.width + 1);
  testing::expect_restores(*encoder, dataset);
  testing::expect_honest_histories(*encoder, dataset);
  // By hand: sum of 2^(-age/2) (label - expected) over the curvature and its prior, times the strength.
  double strength = -1;
  at::Tensor items, prior;
  for (const auto& [name, tensor] : encoder->parameters()) {
    if (name.ends_with(".recency_strength")) strength = tensor.item<double>();
    if (name.ends_with(".item")) items = tensor;
    if (name.ends_with(".prior")) prior = tensor;
  }
  ASSERT_GE(strength, 0);
  const at::Tensor expected = at::sigmoid(at::mv(items, prior));
  const std::int64_t row = dataset.user_begin[4] - 1, first = dataset.user_begin[3];
  double sum = 0, curvature = 0;
  for (std::int64_t i = first; i < row; ++i) {
    const double weight = std::pow(0.5, static_cast<double>(row - 1 - i) / 2), p = expected[dataset.item[i]].item<double>();
    sum += weight * (dataset.label[i] - p);
    curvature += weight * p * (1 - p);
  }
  EXPECT_NEAR(encoder->user_vectors(dataset, std::span(&row, 1))[0][config.width].item<double>(),
              strength * sum / (curvature + 8), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Factorization, ::testing::Values("mf", "lightgcn"));

TEST(BipartiteGraph, IsTheNormalisedAdjacencyOfTheTrainPositives) {
  Dataset dataset = taste_dataset(9, 7, 12, 2);
  dataset.splits[0].push_back(dataset.splits[0].front());  // a pair that occurs twice is one edge
  const std::int64_t nodes = 9 + 7;
  at::Tensor adjacency = at::zeros({nodes, nodes});
  for (std::int64_t row : dataset.rows(Split::kTrain)) {
    if (dataset.label[row] == 0) continue;
    adjacency[dataset.user[row]][9 + dataset.item[row]] = 1;
    adjacency[9 + dataset.item[row]][dataset.user[row]] = 1;
  }
  const at::Tensor degree = adjacency.sum(1), scale = at::where(degree > 0, degree.rsqrt(), at::zeros_like(degree));
  const at::Tensor matrix = scale.unsqueeze(1) * adjacency * scale;
  const BipartiteGraph graph(dataset);
  ASSERT_EQ(graph.nodes(), nodes);
  const at::Tensor x = testing::normal({nodes, 5}, 1).set_requires_grad(true), weights = testing::normal({nodes, 5}, 2);
  const at::Tensor y = graph.propagate(x);
  EXPECT_TRUE(at::allclose(y, matrix.mm(x), 1e-5, 1e-6));
  (y * weights).sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), matrix.t().mm(weights), 1e-5, 1e-6));
}

}  // namespace
}  // namespace thinkrec
