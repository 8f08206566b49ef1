// The training step over the emulated GPU kernels against the step over the CPU's own.

#include "gpu/gpu.h"
#include "simt/simt.h"
#include "train/step_testing.h"

namespace thinkrec {
namespace {

class EmulatedKernels {  // for as long as it lives
 public:
  EmulatedKernels() { set_op_kernels(c10::DeviceType::CPU, &cuda_op_kernels()); }
  ~EmulatedKernels() {
    set_op_kernels(c10::DeviceType::CPU, nullptr);
    EXPECT_GT(simt::statistics().launches, before_) << "no emulated kernel was launched";
  }

 private:
  const std::uint64_t before_ = simt::statistics().launches;
};

TEST(EmulatedStep, IsTheCpuStep) {
  const testing::TinyModel model(testing::tiny_config());
  for (const std::int64_t first_layer : {0, 2}) {
    const testing::Trained wanted = testing::train(*model, first_layer);
    const EmulatedKernels emulated;
    testing::expect_same_training(testing::train(*model, first_layer), wanted);
  }
}

TEST(EmulatedStep, OfSeveralAdaptersIsTheCpuStep) {
  const testing::TinyModel model(testing::tiny_config());
  const auto alone = make_solo_collectives();
  const auto wanted = testing::train_together(*model, {.first_layer = 1}, {1, 2, 3}, *alone);
  const EmulatedKernels emulated;
  const auto got = testing::train_together(*model, {.first_layer = 1}, {1, 2, 3}, *alone);
  for (std::size_t i = 0; i < wanted.size(); ++i) testing::expect_same_training(got[i], wanted[i]);
}

TEST(EmulatedStep, InBfloat16StaysCloseToFp32) {
  const testing::TinyModel model(testing::tiny_config());
  const testing::Trained wanted = testing::train(*model, 0);
  const EmulatedKernels emulated;
  testing::expect_similar_training(testing::train(model->to(at::kBFloat16), 0), wanted);
}

}  // namespace
}  // namespace thinkrec
