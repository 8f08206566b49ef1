#pragma once
// Comparison of tensors in tests.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace thinkrec::testing {

/// Normal values of this shape, fp32, the same for the same seed (within one version of libtorch).
inline at::Tensor normal_tensor(at::IntArrayRef shape, std::uint64_t seed, double scale = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(shape, generator, at::kFloat) * scale;
}

/// max |got - wanted| <= bound * max(1, max |wanted|), in double.
inline void expect_close(const at::Tensor& got, const at::Tensor& wanted, double bound, const std::string& what = "") {
  ASSERT_EQ(got.sizes(), wanted.sizes()) << what;
  if (got.numel() == 0) return;
  const at::Tensor a = got.detach().to(at::kDouble), b = wanted.detach().to(at::kDouble);
  const double difference = (a - b).abs().max().item<double>(), size = std::max(1.0, b.abs().max().item<double>());
  EXPECT_FALSE(std::isnan(difference)) << what;
  EXPECT_LE(difference, bound * size) << what;
}

}  // namespace thinkrec::testing
