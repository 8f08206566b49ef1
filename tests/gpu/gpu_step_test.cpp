// The training step on a GPU against the step on the CPU.

#include <chrono>
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

/// Seconds of a step that trains the last 8 layers for so many experts, with `rows` rows of 350 tokens each. Nothing is left to cache.
double step_seconds(const Llama& model, std::size_t experts, std::size_t rows) {
  StepConfig config;
  config.yes_token = 11;
  config.first_layer = model.config().layers - 8;
  config.micro_tokens = 16384;
  std::vector<std::unique_ptr<testing::TestLane>> lanes;
  std::vector<StepLane> step_lanes;
  std::vector<std::vector<EncodedRow>> encoded(experts);
  std::vector<LaneRows> parts;
  for (std::size_t expert = 0; expert < experts; ++expert) {
    const auto seed = static_cast<unsigned>(expert + 1);
    step_lanes.push_back(lanes.emplace_back(std::make_unique<testing::TestLane>(model, config.first_layer, seed))->step_lane());
    LaneRows& part = parts.emplace_back(LaneRows{expert, {}, 1e-4});
    for (auto& tokens : testing::random_rows(std::vector<std::int64_t>(rows, 350), model.config().vocab, seed)) {
      EncodedRow& row = encoded[expert].emplace_back();
      row.token = std::move(tokens);
      row.row = static_cast<std::int64_t>(encoded[expert].size() + 1000 * expert);
      row.prompt_length = 349;
    }
    for (const EncodedRow& row : encoded[expert]) part.rows.push_back({&row, static_cast<std::uint64_t>(row.row), 1, row.row});
  }
  const Projector none;
  const auto alone = make_solo_collectives();
  StepEngine engine(model, step_lanes, none, nullptr, config, *alone);
  constexpr std::int64_t kWarmup = 5, kSteps = 20;
  auto start = std::chrono::steady_clock::now();
  for (std::int64_t step = 1; step <= kWarmup + kSteps; ++step) {
    for (const StepResult& result : engine.run(step, parts))
      EXPECT_TRUE(result.finite);  // a step ends with its losses on the host
    if (step == kWarmup) start = std::chrono::steady_clock::now();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kSteps;
}

/// The rows of one expert alone leave a GPU idle.
TEST(GpuStep, FourExpertsAtOnceAreFasterThanOneAfterTheOther) {
  LlamaConfig config;  // 110 M parameters
  config.vocab = 32000;
  config.layers = 12;
  config.heads = config.kv_heads = 12;
  config.head_width = 64;
  config.width = 768;
  config.ffn = 2048;
  config.max_positions = 512;
  const testing::TinyModel model(config);
  const Llama there = model->to(at::TensorOptions(at::kBFloat16).device(kGpu));
  for (const std::size_t rows : {1, 8}) {
    const double alone = step_seconds(there, 1, rows), together = step_seconds(there, 4, rows);
    std::printf("%zu rows an expert: a step of one %.2f ms, of four %.2f ms: %.2f times the rows/s\n", rows, 1e3 * alone,
                1e3 * together, 4 * alone / together);
    EXPECT_GE(4 * alone / together, 1.4) << rows << " rows an expert";
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
