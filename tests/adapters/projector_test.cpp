#include "adapters/projector.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "io/io_testing.h"
#include "support/tensors.h"

namespace thinkrec {
namespace {

using testing::expect_close;
using testing::normal_tensor;

TEST(Projector, IsTwoLayersWithRelu) {
  const Projector projector(6, 20, {.expansion = 4, .match_scale = false}, 0.1, 3);
  const auto named = projector.named();
  ASSERT_EQ(named.size(), 4U);
  EXPECT_EQ(named[0].second.sizes(), at::IntArrayRef({24, 6}));
  EXPECT_EQ(named[2].second.sizes(), at::IntArrayRef({20, 24}));
  const at::Tensor x = normal_tensor({5, 6}, 1);
  const at::Tensor hidden = at::relu(x.matmul(named[0].second.t()) + named[1].second);
  expect_close(projector.apply(x), hidden.matmul(named[2].second.t()) + named[3].second, 1e-6);
}

TEST(Projector, MatchesTheSizeOfTokenEmbeddings) {
  for (const std::int64_t d1 : {16, 64}) {
    const Projector projector(d1, 256, {}, 0.137, 3);
    const double rms = projector.apply(normal_tensor({200, d1}, 1)).square().mean().sqrt().item<double>();
    EXPECT_NEAR(rms, 0.137, 0.137 * 0.25) << d1;
  }
}

TEST(Projector, ClonesAndDependsOnTheSeedAlone) {
  const Projector first(6, 20, {}, 1, 3), second(6, 20, {}, 1, 3), other(6, 20, {}, 1, 4), clone = first.clone();
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(first.named()[i].second.equal(second.named()[i].second));
    EXPECT_FALSE(first.named()[i].second.equal(other.named()[i].second));
  }
  first.named()[0].second.fill_(1);
  EXPECT_FALSE(clone.named()[0].second.equal(first.named()[0].second));
  EXPECT_FALSE(Projector().defined());
  EXPECT_TRUE(first.defined());
}

TEST(Projector, FoldedIsAPlainLinearReluLinear) {
  const Projector projector(6, 20, {}, .02, 3);
  const at::Tensor x = at::randn({5, 6});
  const NamedTensors plain = projector.folded();
  const at::Tensor got = at::linear(at::relu(at::linear(x, plain[0].second, plain[1].second)), plain[2].second, plain[3].second);
  EXPECT_TRUE(at::allclose(got, projector.apply(x), 1e-6, 1e-7));
  EXPECT_FALSE(plain[2].second.equal(projector.named()[2].second));
  plain[0].second.zero_();
  EXPECT_TRUE(projector.named()[0].second.abs().max().item<float>() > 0);
}

TEST(Projector, LoadsByNameAndRefusesWhatDoesNotFit) {
  const Projector from(6, 20, {}, 1, 3);
  Projector to(6, 20, {}, 1, 4);
  NamedTensors values = from.named();
  std::reverse(values.begin(), values.end());
  to.load(values, "x");
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(to.named()[i].second.equal(from.named()[i].second));
  values.pop_back();
  testing::expect_error(ExitCode::kBadData, "x: 'projector.0.weight' is missing", [&] { to.load(values, "x"); });
  values.emplace_back("projector.0.weight", at::ones({60, 7}));
  testing::expect_error(ExitCode::kBadData, "has shape [60, 7]", [&] { to.load(values, "x"); });
}

}  // namespace
}  // namespace thinkrec
