// A program of its own: MKL asks for its settings once, at the first product.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "support/tensors.h"
#include "train/device.h"

namespace thinkrec {
namespace {

TEST(StrictProducts, HaveTheSameBitsOnAnyNumberOfThreads) {
  set_up_strict_products();
  const at::Tensor weight = testing::normal_tensor({576, 192}, 1);
  for (const std::int64_t rows : {1, 2, 5, 6, 7, 9, 13, 40}) {
    const at::Tensor x = testing::normal_tensor({rows, 576}, 2);
    at::set_num_threads(1);
    const at::Tensor one = x.mm(weight);
    for (const int threads : {2, 3}) {
      at::set_num_threads(threads);
      EXPECT_TRUE(at::equal(x.mm(weight), one)) << rows << " rows on " << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace thinkrec
