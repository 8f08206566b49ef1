// The training step on a GPU against the step on the CPU.

#include <cstdio>

#include "gpu/gpu.h"
#include "kernels/rope.h"
#include "model/ops.h"
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

/// Over several blocks of keys libtorch's attention adds up queries' gradients in any order, unless it is asked not to.
TEST(GpuStep, AttentionOverLongRowsGivesTheSameBitsAgain) {
  constexpr std::int64_t kTokens = 1500, kHeads = 4, kWidth = 64;
  const auto rope = kernels::make_rope_table(2048, kWidth, 10000, {});
  const PackedBatch batch = testing::pack(testing::random_rows({900, kTokens - 900}, 100, 3));
  for (const auto type : {at::kBFloat16, at::kFloat}) {
    const auto there = at::TensorOptions(type).device(kGpu);
    const auto make = [&](std::int64_t heads) { return at::randn({kTokens, heads, kWidth}, there); };
    const at::Tensor q = make(kHeads), k = make(2), v = make(2), weight = at::randn({kTokens, kHeads * kWidth}, there);
    const auto gradients = [&] {
      std::vector<at::Tensor> inputs;
      for (const at::Tensor& x : {q, k, v}) inputs.push_back(x.clone().requires_grad_());
      const at::AutoGradMode grad(true);
      (ops::rope_attention(inputs[0] * 1, inputs[1] * 1, inputs[2] * 1, to_device(batch, kGpu), to_device(rope, kGpu)) * weight)
          .sum()
          .backward();
      return inputs;
    };
    const auto first = gradients();
    for (int again = 0; again < 5; ++again) {
      const auto second = gradients();
      for (std::size_t i = 0; i < first.size(); ++i)
        EXPECT_TRUE(at::equal(first[i].grad(), second[i].grad())) << type << " " << i;
    }
  }
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
