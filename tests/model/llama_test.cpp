// What the model promises about packing, cuts and needed rows; transformers' logits are checked in llama_oracle.py.
#include "model/llama.h"

#include <gtest/gtest.h>

#include "core/error.h"
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

const std::vector<std::int64_t> kLengths = {5, 1, 33, 2, 17};

at::Tensor all_layers(const Llama& model, const PackedBatch& batch, const at::Tensor& needed = {}) {
  return model.layers(model.embed(batch, {}), batch, 0, model.config().layers, nullptr, needed);
}

TEST(Llama, PackedRowsAreTheRowsAlone) {
  const at::NoGradGuard no_grad;
  for (const auto& [heads, kv_heads] : {std::pair{4, 4}, {3, 1}, {8, 2}}) {
    const TinyModel model(tiny_config(heads, kv_heads, heads != 3), static_cast<unsigned>(heads));
    const auto rows = random_rows(kLengths, model->config().vocab, 5);
    const PackedBatch batch = pack(rows);
    const at::Tensor hidden = all_layers(*model, batch), logits = model->logits(model->final_norm(hidden));
    EXPECT_EQ(logits.sizes(), at::IntArrayRef({batch.tokens(), model->config().vocab}));
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const at::Tensor one = all_layers(*model, alone(rows, r));
      const auto row = static_cast<std::int64_t>(r);
      expect_close(hidden.narrow(0, batch.begin[r], batch.length(row)), one, 1e-5);
      expect_close(logits.narrow(0, batch.begin[r], batch.length(row)), model->logits(model->final_norm(one)), 1e-5);
    }
  }
}

TEST(Llama, LaterTokensDoNotReachEarlierOnes) {
  const at::NoGradGuard no_grad;
  const TinyModel model(tiny_config());
  auto rows = random_rows({9}, 97, 1);
  const at::Tensor before = all_layers(*model, pack(rows));
  rows[0][6] = (rows[0][6] + 1) % 97;
  const at::Tensor after = all_layers(*model, pack(rows));
  expect_close(after.narrow(0, 0, 6), before.narrow(0, 0, 6), 1e-6);
  EXPECT_GT((after - before).narrow(0, 6, 3).abs().max().item<double>(), 1e-3);
}

TEST(Llama, AnyCutGivesTheWhole) {
  const at::NoGradGuard no_grad;
  const TinyModel model(tiny_config());
  const PackedBatch batch = pack(random_rows(kLengths, 97, 2));
  const at::Tensor embedded = model->embed(batch, {}), whole = all_layers(*model, batch);
  for (std::int64_t cut = 0; cut <= 3; ++cut) {
    const at::Tensor lower = model->layers(embedded, batch, 0, cut, nullptr);
    expect_close(model->layers(lower, batch, cut, 3, nullptr), whole, 1e-6, fmt::format("cut at {}", cut));
  }
  EXPECT_TRUE(model->layers(embedded, batch, 2, 2, nullptr).equal(embedded));
}

TEST(Llama, NeededRowsAreThoseOfTheWhole) {
  const at::NoGradGuard no_grad;
  const TinyModel model(tiny_config());
  const PackedBatch batch = pack(random_rows(kLengths, 97, 2));
  const at::Tensor whole = all_layers(*model, batch), embedded = model->embed(batch, {});
  for (const std::vector<std::int64_t>& needed : {std::vector<std::int64_t>{0}, {4, 5, 38}, {57}}) {
    const at::Tensor index = at::tensor(needed);
    expect_close(all_layers(*model, batch, index), whole.index_select(0, index), 1e-6);
    for (std::int64_t cut = 0; cut <= 3; ++cut) {  // none of the layers left to run is a case of its own
      const at::Tensor lower = model->layers(embedded, batch, 0, cut, nullptr);
      expect_close(model->layers(lower, batch, cut, 3, nullptr, index), whole.index_select(0, index), 1e-6,
                   fmt::format("cut at {}", cut));
    }
  }
}

TEST(Llama, NeededRowsHaveTheSameGradient) {
  const TinyModel model(tiny_config());
  const PackedBatch batch = pack(random_rows({6, 3}, 97, 2));
  const at::Tensor index = at::tensor(std::vector<std::int64_t>{2, 5, 8}), cotangent = normal_tensor({3, 20}, 1);
  at::Tensor first = model->embed(batch, {}).detach().clone().requires_grad_(), second = first.detach().clone().requires_grad_();
  (model->layers(first, batch, 0, 3, nullptr, index) * cotangent).sum().backward();
  (model->layers(second, batch, 0, 3, nullptr).index_select(0, index) * cotangent).sum().backward();
  EXPECT_GT(first.grad().abs().max().item<double>(), 1e-2);
  expect_close(first.grad(), second.grad(), 1e-5);
}

TEST(Llama, FeaturesStandForTokens) {
  const TinyModel model(tiny_config());
  const auto rows = random_rows({7, 4}, 97, 3);
  const PackedBatch plain = pack(rows);
  auto spliced_rows = rows;
  spliced_rows[0][2] = -1;
  spliced_rows[1][3] = -2;
  const at::Tensor& table = model->weights().embedding;
  at::Tensor features = at::stack({table[rows[0][2]], table[rows[1][3]]}).contiguous().requires_grad_();
  const PackedBatch batch = pack(spliced_rows);
  const at::Tensor out = model->layers(model->embed(batch, features), batch, 0, 3, nullptr);
  expect_close(out, all_layers(*model, plain), 1e-6);
  out.sum().backward();
  EXPECT_GT(features.grad().abs().min().item<double>(), 0);
}

/// A hook that doubles v, to see that it is asked once a layer and with the normed input.
struct Doubler final : ProjectionHook {
  mutable std::vector<std::int64_t> asked;
  const Llama& model;
  explicit Doubler(const Llama& m) : model(m) {}
  std::pair<at::Tensor, at::Tensor> apply(std::int64_t layer, const at::Tensor& x, const at::Tensor& q, const at::Tensor& v,
                                          const DeviceBatch&) const override {
    asked.push_back(layer);
    const LayerWeights& weights = model.weights().layers[static_cast<std::size_t>(layer)];
    expect_close(at::linear(x, weights.q), q, 1e-6);
    expect_close(at::linear(x, weights.v), v, 1e-6);
    return {q, v * 2};
  }
};

TEST(Llama, HookSeesEachLayerAndIsObeyed) {
  const at::NoGradGuard no_grad;
  const LlamaConfig config = tiny_config();
  const TinyModel model(config);
  const PackedBatch batch = pack(random_rows({4, 2}, 97, 3));
  const Doubler hook(*model);
  const at::Tensor hooked = model->layers(model->embed(batch, {}), batch, 0, 3, &hook);
  EXPECT_EQ(hook.asked, (std::vector<std::int64_t>{0, 1, 2}));
  std::vector<float> block = testing::random_block(config, 1);
  LlamaWeights weights = view_weights(config, block.data());
  for (LayerWeights& layer : weights.layers) layer.v.mul_(2);
  expect_close(hooked, all_layers(Llama(config, weights), batch), 1e-5);
}

TEST(Llama, RefusesMorePositionsThanItHas) {
  const TinyModel model(tiny_config());
  const auto rows = random_rows({513}, 97, 3);
  try {
    all_layers(*model, pack(rows));
    ADD_FAILURE() << "513 tokens on 512 positions";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadData);
    EXPECT_NE(std::string(error.what()).find("512 positions"), std::string::npos) << error.what();
  }
  const at::NoGradGuard no_grad;
  EXPECT_NO_THROW(all_layers(*model, pack(random_rows({512}, 97, 3))));
}

TEST(Llama, RefusesLayersThatAreNotThere) {
  const TinyModel model(tiny_config());
  const PackedBatch batch = pack(random_rows({2}, 97, 3));
  const at::Tensor hidden = model->embed(batch, {});
  EXPECT_THROW(model->layers(hidden, batch, 0, 4, nullptr), Error);
  EXPECT_THROW(model->layers(hidden, batch, -1, 2, nullptr), Error);
  EXPECT_THROW(model->layers(hidden, batch, 2, 1, nullptr), Error);
}

TEST(Weights, ViewsFillTheBlockWithoutOverlap) {
  for (const bool tied : {true, false}) {
    const LlamaConfig config = tiny_config(3, 1, tied);
    std::vector<float> block(static_cast<std::size_t>(weight_count(config)) + 1, 0);
    block.back() = 42;
    const LlamaWeights weights = view_weights(config, block.data());
    std::vector<at::Tensor> all = {weights.embedding, weights.final_norm};
    if (!tied) all.push_back(weights.head);
    for (const LayerWeights& layer : weights.layers) {
      for (const at::Tensor& t :
           {layer.attention_norm, layer.q, layer.k, layer.v, layer.o, layer.mlp_norm, layer.gate, layer.up, layer.down}) {
        all.push_back(t);
      }
    }
    std::int64_t elements = 0;
    for (const at::Tensor& tensor : all) {
      tensor.add_(1);
      elements += tensor.numel();
      EXPECT_EQ((tensor.const_data_ptr<float>() - block.data()) % 16, 0);
    }
    EXPECT_EQ(std::count(block.begin(), block.end(), 1.0F), elements);
    EXPECT_EQ(block.back(), 42);
    EXPECT_EQ(weights.head.is_same(weights.embedding), tied);
  }
}

}  // namespace
}  // namespace thinkrec
