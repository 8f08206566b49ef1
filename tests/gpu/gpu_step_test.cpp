// The training step on a GPU against the step on the CPU.

#include <cstdio>

#include "gpu/gpu.h"
#include "train/step_testing.h"
#include "model/generate.h"

namespace thinkrec {
namespace {

const at::Device kGpu(at::kCUDA, 0);

/// Widths that libtorch's attention on a GPU takes: a multiple of 8.
LlamaConfig config() {
  LlamaConfig tiny = testing::tiny_config();
  tiny.head_width = 16;
  return tiny;
}

TEST(GpuStep, InFp32IsTheCpuStep) {
  const testing::TinyModel model(config());
  const Llama there = model->to(at::TensorOptions(at::kFloat).device(kGpu));
  for (const std::int64_t first_layer : {0, 2})
    testing::expect_same_training(testing::train(there, first_layer), testing::train(*model, first_layer));
}

TEST(GpuStep, OfSeveralAdaptersIsTheCpuStep) {
  const testing::TinyModel model(config());
  const Llama there = model->to(at::TensorOptions(at::kFloat).device(kGpu));
  const auto alone = make_solo_collectives();
  const auto got = testing::train_together(there, {.first_layer = 1}, {1, 2, 3}, *alone),
             wanted = testing::train_together(*model, {.first_layer = 1}, {1, 2, 3}, *alone);
  for (std::size_t i = 0; i < wanted.size(); ++i) testing::expect_same_training(got[i], wanted[i]);
}

TEST(GpuStep, InBfloat16StaysCloseToFp32) {
  const testing::TinyModel model(config());
  const Llama there = model->to(at::TensorOptions(at::kBFloat16).device(kGpu));
  testing::expect_similar_training(testing::train(there, 0), testing::train(*model, 0));
}

TEST(GpuStep, GivesTheSameBitsAgain) {
  const testing::TinyModel model(config());
  const Llama there = model->to(at::TensorOptions(at::kBFloat16).device(kGpu));
  const testing::Trained first = testing::train(there, 0), second = testing::train(there, 0);
  EXPECT_EQ(first.losses, second.losses);
  for (std::size_t i = 0; i < first.parameters.size(); ++i)
    EXPECT_TRUE(at::equal(first.parameters[i].second, second.parameters[i].second)) << first.parameters[i].first;
}

TEST(GpuGenerate, SaysWhatTheCpuSays) {
  const testing::TinyModel model(config());
  const Llama there = model->to(at::TensorOptions(at::kFloat).device(kGpu));
  const PackedBatch prompts = testing::pack(testing::random_rows({7, 1, 12}, model->config().vocab, 3));
  GenerateConfig generation;
  generation.max_new_tokens = 12;
  EXPECT_EQ(generate(there, nullptr, prompts, {}, generation), generate(*model, nullptr, prompts, {}, generation));
}

}  // namespace
}  // namespace thinkrec

int main(int argc, char** argv) {
  std::string why;
  if (thinkrec::gpu_count(why) == 0) {
    std::printf("skipped: no GPU (%s)\n", why.c_str());
    return 77;
  }
  ::testing::InitGoogleTest(&argc, argv);
  thinkrec::open_gpu(0, /*deterministic=*/true);
  return RUN_ALL_TESTS();
}
