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
