#include "encoders/fold_in.h"

#include <ATen/ATen.h>

#include "encoders_testing.h"

namespace thinkrec {
namespace {

TEST(FoldIn, SolvesTheRegressionOfItsHeader) {
  for (std::int64_t width : {1, 5, 17}) {
    const Dataset dataset = testing::taste_dataset(12, 9, 60, 2);
    const at::Tensor items = testing::normal({9, width}, 1), prior = testing::normal({width}, 2) * 0.3;
    for (double ridge : {0.5, 20.0}) {
      const FoldIn fold_in(items, prior, ridge);
      std::vector<Moment> moments;
      for (std::int32_t user = 0; user < 12; ++user) {
        const std::int64_t known = dataset.user_begin[user + 1] - dataset.user_begin[user];
        moments.push_back({user, known});
        moments.push_back({user, known / 2});
      }
      const at::Tensor vectors = fold_in.vectors(dataset, moments);
      for (std::size_t i = 0; i < moments.size(); ++i) {
        at::Tensor precision = at::eye(width, at::kDouble) * ridge, gradient = at::zeros({width}, at::kDouble);
        for (std::int64_t place = 0; place < moments[i].place; ++place) {
          const std::int64_t row = dataset.user_begin[moments[i].user] + place;
          const at::Tensor x = items[dataset.item[row]].to(at::kDouble);
          const double p = at::sigmoid(x.dot(prior.to(at::kDouble))).item<double>();
          precision += p * (1 - p) * at::outer(x, x);
          gradient += (dataset.label[row] - p) * x;
        }
        const at::Tensor expected = prior.to(at::kDouble) + precision.inverse().mv(gradient);
        EXPECT_TRUE(at::allclose(vectors[i].to(at::kDouble), expected, 1e-5, 1e-5));
      }
    }
  }
}

TEST(FoldIn, GivesThePriorToTheUnknownAndRefusesWhatDoesNotFit) {
  const Dataset dataset = testing::taste_dataset(3, 4, 5, 2);
  const at::Tensor items = testing::normal({4, 6}, 1), prior = testing::normal({6}, 2);
  EXPECT_TRUE(at::equal(FoldIn(items, prior, 1).vectors(dataset, std::vector<Moment>{{1, 0}})[0], prior));
  EXPECT_EQ(FoldIn(items, prior, 1).vectors(dataset, {}).sizes(), at::IntArrayRef({0, 6}));
  EXPECT_THROW(FoldIn(items, prior, 0), Error);
  EXPECT_THROW(FoldIn(items, at::ones({5}), 1), Error);
}

}  // namespace
}  // namespace thinkrec
