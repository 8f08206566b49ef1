#include "adapters/lora.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "io/io_testing.h"
#include "model/generator.h"
#include "support/tensors.h"
#include "support/tiny_model.h"

namespace thinkrec {
namespace {

using testing::alone;
using testing::expect_close;
using testing::normal_tensor;
using testing::pack;
using testing::random_rows;
using testing::tiny_config;
using testing::TinyModel;

/// An adapter whose B is not zero.
LoraAdapter random_adapter(const LlamaConfig& model, const LoraConfig& config, std::uint64_t seed) {
  LoraAdapter adapter(model, config, seed);
  for (auto& [name, tensor] : adapter.named()) {
    if (name.ends_with("lora_B")) tensor.copy_(normal_tensor(tensor.sizes(), ++seed, 0.3));
  }
  return adapter;
}

/// scale B A of a layer's projection, in double.
at::Tensor product(const LoraAdapter::Layer& layer, const ops::LoraFactors& factors) {
  return factors.b.to(at::kDouble).matmul(factors.a.to(at::kDouble)) * layer.scale;
}

at::Tensor run(const Llama& model, const PackedBatch& batch, const ProjectionHook* hook) {
  return model.layers(model.embed(batch, {}), batch, 0, model.config().layers, hook);
}

/// The model with an adapter added to its weights.
at::Tensor run_dense(const LlamaConfig& config, unsigned seed, const LoraAdapter& adapter, const PackedBatch& batch) {
  std::vector<float> block = testing::random_block(config, seed);
  LlamaWeights weights = view_weights(config, block.data());
  for (std::int64_t i = 0; i < config.layers; ++i) {
    LayerWeights& layer = weights.layers[static_cast<std::size_t>(i)];
    layer.q.add_(product(adapter.layer(i), adapter.layer(i).q).to(at::kFloat));
    layer.v.add_(product(adapter.layer(i), adapter.layer(i).v).to(at::kFloat));
  }
  return run(Llama(config, weights), batch, nullptr);
}

TEST(LoraAdapter, StartsAsNothingAndDependsOnTheSeedAlone) {
  const LlamaConfig config = tiny_config();
  const LoraAdapter first(config, {}, 7), second(config, {}, 7), other(config, {}, 8);
  EXPECT_EQ(first.named().size(), 12U);
  EXPECT_EQ(first.named()[0].first, "layers.0.self_attn.q_proj.lora_A");
  EXPECT_EQ(first.named()[11].first, "layers.2.self_attn.v_proj.lora_B");
  EXPECT_EQ(first.layer(0).scale, 2);
  EXPECT_EQ(first.layer(1).q.a.sizes(), at::IntArrayRef({8, 20}));
  EXPECT_EQ(first.layer(1).q.b.sizes(), at::IntArrayRef({24, 8}));
  EXPECT_EQ(first.layer(1).v.b.sizes(), at::IntArrayRef({12, 8}));
  const double bound = 1 / std::sqrt(20.0);
  for (std::size_t i = 0; i < 12; ++i) {
    const at::Tensor value = first.named()[i].second;
    EXPECT_TRUE(value.equal(second.named()[i].second));
    if (i % 2 == 1) {
      EXPECT_EQ(value.abs().max().item<double>(), 0);
      continue;
    }
    EXPECT_FALSE(value.equal(other.named()[i].second));
    if (i > 0) {
      EXPECT_FALSE(value.equal(first.named()[i - 2].second));
    }
    EXPECT_LE(value.abs().max().item<double>(), bound);
    EXPECT_NEAR(value.square().mean().sqrt().item<double>(), bound / std::sqrt(3.0), 0.2 * bound);
  }
  const at::NoGradGuard no_grad;
  const TinyModel model(config);
  const PackedBatch batch = pack(random_rows({4}, 97, 1));
  const LoraHook hook(first);
  expect_close(run(*model, batch, &hook), run(*model, batch, nullptr), 1e-6);
}

TEST(LoraAdapter, CopiesShareValuesAndClonesDoNot) {
  const LoraAdapter adapter(tiny_config(), {}, 1), copy = adapter, clone = adapter.clone();
  adapter.layer(0).q.a.fill_(3);
  EXPECT_TRUE(copy.layer(0).q.a.equal(adapter.layer(0).q.a));
  EXPECT_FALSE(clone.layer(0).q.a.equal(adapter.layer(0).q.a));
}

TEST(LoraAdapter, LoadsByNameAndRefusesWhatDoesNotFit) {
  const LlamaConfig config = tiny_config();
  const LoraAdapter from = random_adapter(config, {}, 1);
  LoraAdapter to(config, {}, 2);
  NamedTensors values = from.named();
  std::reverse(values.begin(), values.end());
  to.load(values, "x");
  for (std::size_t i = 0; i < 12; ++i) EXPECT_TRUE(to.named()[i].second.equal(from.named()[i].second));
  const auto [missing, value] = values.back();
  values.pop_back();
  testing::expect_error(ExitCode::kBadData, fmt::format("x: adapter tensor '{}' is missing", missing),
                        [&] { to.load(values, "x"); });
  values.emplace_back(missing, at::ones({8, 21}));
  testing::expect_error(ExitCode::kBadData, "has shape [8, 21], this model and lora.rank ask for [8, 20]",
                        [&] { to.load(values, "x"); });
}

TEST(LoraHook, IsTheSumOfTheWeights) {
  const at::NoGradGuard no_grad;
  for (const auto& [heads, kv_heads] : {std::pair{4, 2}, {3, 1}}) {
    for (const std::int64_t rank : {1, 8, 13}) {
      const LlamaConfig config = tiny_config(heads, kv_heads);
      const TinyModel model(config, 3);
      const LoraAdapter adapter = random_adapter(config, {.lora_rank = rank, .alpha = 5}, 4);
      const PackedBatch batch = pack(random_rows({5, 1, 11}, 97, 1));
      const LoraHook hook(adapter);
      expect_close(run(*model, batch, &hook), run_dense(config, 3, adapter, batch), 2e-5, fmt::format("rank {}", rank));
    }
  }
}

TEST(MergeInto, MakesAPlainModelOfBoth) {
  const at::NoGradGuard no_grad;
  const LlamaConfig config = tiny_config();
  const TinyModel model(config, 3);
  const LoraAdapter adapter = random_adapter(config, {.lora_rank = 5, .alpha = 7}, 4);
  const PackedBatch batch = pack(random_rows({5, 1, 11}, 97, 1));
  const at::Tensor q = model->weights().layers[0].q.clone();
  const Llama merged(config, merge_into(model->weights(), adapter));
  const LoraHook hook(adapter);
  expect_close(run(merged, batch, nullptr), run(*model, batch, &hook), 2e-5, "merged");
  EXPECT_TRUE(at::equal(model->weights().layers[0].q, q)) << "the base has changed";
}

TEST(LoraHook, BeyondTheKernelsRankIsTheSame) {
  // Rank 64 goes through the kernel; the same product padded with zeros to rank 65, through libtorch.
  const LlamaConfig config = tiny_config();
  const TinyModel model(config, 3);
  const PackedBatch batch = pack(random_rows({5, 1, 11}, 97, 1));
  const LoraAdapter adapter = random_adapter(config, {.lora_rank = 64, .alpha = 30}, 4);
  std::vector<LoraAdapter::Layer> padded;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const auto pad = [](const ops::LoraFactors& f) {
      return ops::LoraFactors{at::cat({f.a, at::zeros({1, f.a.size(1)})}, 0),
                              at::cat({f.b, at::zeros({f.b.size(0), 1})}, 1).contiguous()};
    };
    padded.push_back({pad(adapter.layer(i).q), pad(adapter.layer(i).v), adapter.layer(i).scale});
  }
  const LoraAdapter large(padded);
  const LoraHook kernel(adapter), libtorch(large);
  {
    const at::NoGradGuard no_grad;
    expect_close(run(*model, batch, &libtorch), run(*model, batch, &kernel), 2e-5);
  }
  for (const LoraAdapter* each : {&adapter, &large}) {
    for (auto& [name, tensor] : each->named()) tensor.requires_grad_();
  }
  const at::Tensor cotangent = normal_tensor({batch.tokens(), config.width}, 5);
  (run(*model, batch, &kernel) * cotangent).sum().backward();
  (run(*model, batch, &libtorch) * cotangent).sum().backward();
  for (std::size_t i = 0; i < adapter.named().size(); ++i) {
    const auto [name, small] = adapter.named()[i];
    const std::int64_t dimension = name.ends_with("lora_A") ? 0 : 1;
    expect_close(large.named()[i].second.grad().narrow(dimension, 0, 64), small.grad(), 2e-5, name);
  }
}

TEST(LoraHook, RefusesALayerThatTheAdapterLacks) {
  LlamaConfig shorter = tiny_config();
  shorter.layers = 2;
  const TinyModel model(tiny_config());
  const LoraAdapter adapter(shorter, {}, 1);
  const LoraHook hook(adapter);
  const PackedBatch batch = pack(random_rows({2}, 97, 1));
  EXPECT_THROW(run(*model, batch, &hook), Error);
}

/// Gradients of sum <last hidden state, cotangent of the row> over these rows, with dropout.
std::vector<at::Tensor> gradients(const Llama& model, const LoraAdapter& adapter, const std::vector<PackedBatch>& batches,
                                  const std::vector<at::Tensor>& cotangents, const LoraHook& hook) {
  for (auto& [name, tensor] : adapter.named()) tensor.mutable_grad() = at::Tensor();
  for (std::size_t i = 0; i < batches.size(); ++i) (run(model, batches[i], &hook) * cotangents[i]).sum().backward();
  std::vector<at::Tensor> all;
  for (auto& [name, tensor] : adapter.named()) all.push_back(tensor.grad().clone());
  return all;
}

TEST(LoraHook, DropoutDoesNotDependOnThePack) {
  const LlamaConfig config = tiny_config();
  const TinyModel model(config, 3);
  const auto rows = random_rows({5, 1, 11}, 97, 1);
  const LoraAdapter adapter = random_adapter(config, {}, 4);
  for (auto& [name, tensor] : adapter.named()) tensor.requires_grad_();
  std::vector<PackedBatch> singles;
  std::vector<at::Tensor> cotangents;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    singles.push_back(alone(rows, r));
    cotangents.push_back(normal_tensor({singles[r].tokens(), config.width}, r));
  }
  const auto check_equal = [](const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) expect_close(a[i], b[i], 2e-5);
  };
  const LoraHook hook(adapter, 0.4, 0, 21, 5);
  const std::vector<at::Tensor> packed = gradients(*model, adapter, {pack(rows)}, {at::cat(cotangents, 0)}, hook);
  check_equal(gradients(*model, adapter, singles, cotangents, hook), packed);
  std::swap(singles[0], singles[2]);
  std::swap(cotangents[0], cotangents[2]);
  check_equal(gradients(*model, adapter, singles, cotangents, hook), packed);
  // Another seed, step or sample is another mask.
  for (const LoraHook& other : {LoraHook(adapter, 0.4, 0, 22, 5), LoraHook(adapter, 0.4, 0, 21, 6), LoraHook(adapter)}) {
    EXPECT_GT((gradients(*model, adapter, singles, cotangents, other)[0] - packed[0]).abs().max().item<double>(), 1e-2);
  }
  singles[0].sample.assign(singles[0].sample.size(), 12345);
  EXPECT_GT((gradients(*model, adapter, singles, cotangents, hook)[0] - packed[0]).abs().max().item<double>(), 1e-2);
}

TEST(LoraHook, FrozenLayersSeeNoDropout) {
  const at::NoGradGuard no_grad;
  const LlamaConfig config = tiny_config();
  const TinyModel model(config, 3);
  const LoraAdapter adapter = random_adapter(config, {}, 4);
  const PackedBatch batch = pack(random_rows({9}, 97, 1));
  const at::Tensor hidden = model->embed(batch, {});
  const LoraHook plain(adapter), dropping(adapter, 0.4, 2, 1, 1);
  EXPECT_TRUE(model->layers(hidden, batch, 0, 2, &dropping).equal(model->layers(hidden, batch, 0, 2, &plain)));
  EXPECT_FALSE(model->layers(hidden, batch, 2, 3, &dropping).equal(model->layers(hidden, batch, 2, 3, &plain)));
}

TEST(MergeAdapters, IsTheDenseSum) {
  const LlamaConfig config = tiny_config();
  const std::vector<double> weights = {0.5, 0.0, 0.3, -0.2};
  std::vector<LoraAdapter> adapters;
  for (std::uint64_t n = 0; n < weights.size(); ++n) {  // not all of one rank or scale
    adapters.push_back(
        random_adapter(config, {.lora_rank = static_cast<std::int64_t>(3 + n), .alpha = 2.0 + static_cast<double>(n)}, 10 * n));
  }
  for (const std::int64_t first_layer : {0, 2, 3}) {
    const LoraAdapter merged = merge_adapters(adapters, weights, first_layer);
    ASSERT_EQ(merged.layer_count(), 3);
    for (std::int64_t i = 0; i < 3; ++i) {
      const LoraAdapter::Layer& layer = merged.layer(i);
      for (const auto projection : {&LoraAdapter::Layer::q, &LoraAdapter::Layer::v}) {
        at::Tensor wanted = at::zeros({(layer.*projection).b.size(0), config.width}, at::kDouble);
        for (std::size_t n = 0; n < adapters.size(); ++n) {
          const LoraAdapter::Layer& part = adapters[n].layer(i);
          if (i >= first_layer) wanted += product(part, part.*projection) * weights[n];
        }
        if (i < first_layer) wanted = product(adapters[0].layer(i), adapters[0].layer(i).*projection);  // the shared layers, once
        expect_close(product(layer, layer.*projection), wanted, 1e-5, fmt::format("first layer {}, layer {}", first_layer, i));
      }
    }
  }
}

TEST(MergeAdapters, RunsAsTheDenseSumWhenTheRankIsLarge) {
  const at::NoGradGuard no_grad;
  const LlamaConfig config = tiny_config();
  const TinyModel model(config, 3);
  const PackedBatch batch = pack(random_rows({5, 12}, 97, 1));
  std::vector<LoraAdapter> adapters;
  std::vector<double> weights;
  for (std::uint64_t n = 0; n < 9; ++n) {  // ranks 8 to 72: both sides of the kernel's limit
    adapters.push_back(random_adapter(config, {.lora_rank = 8, .alpha = 8}, n));
    weights.push_back(0.05 * static_cast<double>(n + 1));
    const LoraAdapter merged = merge_adapters(adapters, weights, 1);
    const LoraHook hook(merged);
    expect_close(run(*model, batch, &hook), run_dense(config, 3, merged, batch), 3e-5, fmt::format("{} adapters", n + 1));
  }
}

TEST(MergeAdapters, OneAdapterOfWeightOneIsItself) {
  const LlamaConfig config = tiny_config();
  const LoraAdapter adapter = random_adapter(config, {}, 3);
  const LoraAdapter merged = merge_adapters({adapter}, {1.0}, 0);
  for (std::int64_t i = 0; i < 3; ++i) {
    expect_close(product(merged.layer(i), merged.layer(i).q), product(adapter.layer(i), adapter.layer(i).q), 1e-6);
  }
}

TEST(MixtureHook, GeneratesAsTheMergedAdapter) {
  const LlamaConfig shape = tiny_config();
  const TinyModel model(shape, 3);
  const LoraConfig config{4, 8, 0};
  const std::vector<LoraAdapter> experts = {random_adapter(shape, config, 1), random_adapter(shape, config, 2),
                                            random_adapter(shape, config, 3)};
  const std::vector<std::vector<double>> weights = {{0.5, 0.25, 0.25}, {0, 1, 0}, {0.125, 0.375, 0.5}};
  std::vector<LoraAdapter> merged;
  std::vector<MixtureHook> mixtures;
  for (const std::vector<double>& w : weights) {
    merged.push_back(merge_adapters(experts, w, 0));
    mixtures.emplace_back(std::vector<const LoraAdapter*>{&experts[0], &experts[1], &experts[2]},
                          at::tensor(w).to(at::kFloat).unsqueeze(0), 0.0, 0, 0);
  }
  std::vector<LoraHook> hooks(merged.begin(), merged.end());
  const auto prompts = random_rows({3, 9, 30, 4, 17, 2}, shape.vocab, 5);
  std::vector<GenerateRow> mixed, alike;
  for (std::size_t r = 0; r < prompts.size(); ++r) {
    GenerateConfig ask;
    ask.max_new_tokens = 12;
    mixed.push_back({prompts[r], {}, r, &mixtures[r % 3], ask});
    alike.push_back({prompts[r], {}, r, &hooks[r % 3], ask});
  }
  Generator one(*model, {.rows = 4}), other(*model, {.rows = 4});
  EXPECT_EQ(one.run(mixed), other.run(alike));
}

TEST(MergeAdapters, NeedsAWeightForEach) {
  const LoraAdapter adapter(tiny_config(), {}, 3);
  EXPECT_THROW(merge_adapters({}, {}, 0), Error);
  EXPECT_THROW(merge_adapters({adapter}, {0.5, 0.5}, 0), Error);
}

}  // namespace
}  // namespace thinkrec
