// The ops and their gradients against the same formulas in fp64 under libtorch's own autograd.
#include "model/ops.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/error.h"
#include "kernels/dropout.h"
#include "support/tensors.h"

namespace thinkrec {
namespace {

using testing::expect_close;
using testing::normal_tensor;
using Tensors = std::vector<at::Tensor>;
using Indices = std::vector<std::int64_t>;
using Function = std::function<Tensors(const Tensors&)>;

/// Outputs of `op` (fp32) and `formula` (fp64) on `inputs`, and the gradients of sum_i <output_i, c_i> for random c_i: an output that is
/// left out of the sum (`used`) has no gradient at all.
void expect_same(const Function& op, const Function& formula, const Tensors& inputs, double bound = 2e-6,
                 std::uint32_t used = ~0U) {
  const auto run = [&](const Function& f, at::ScalarType type, Tensors& outputs, Tensors& gradients) {
    Tensors leaves;
    for (const at::Tensor& input : inputs) leaves.push_back(input.to(type).clone().requires_grad_());
    outputs = f(leaves);
    at::Tensor total = at::zeros({}, type);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if ((used >> i & 1) != 0) total = total + (outputs[i] * normal_tensor(outputs[i].sizes(), 900 + i).to(type)).sum();
    }
    total.backward();
    for (const at::Tensor& leaf : leaves) gradients.push_back(leaf.grad());
  };
  Tensors outputs, gradients, wanted_outputs, wanted_gradients;
  run(op, at::kFloat, outputs, gradients);
  run(formula, at::kDouble, wanted_outputs, wanted_gradients);
  ASSERT_EQ(outputs.size(), wanted_outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i)
    expect_close(outputs[i], wanted_outputs[i], bound, fmt::format("output {}", i));
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    ASSERT_TRUE(gradients[i].defined()) << "input " << i;
    expect_close(gradients[i], wanted_gradients[i], bound, fmt::format("gradient of input {}", i));
  }
}

at::Tensor norm_formula(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * (x.square().mean(-1, true) + epsilon).rsqrt() * weight;
}

TEST(RmsNormOp, IsTheFormulaWithAndWithoutResidual) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {3, 20}, {5, 77}}) {
    const at::Tensor x = normal_tensor({rows, width}, 1), residual = normal_tensor({rows, width}, 2),
                     weight = normal_tensor({width}, 3).abs();
    expect_same([&](const Tensors& in) { return Tensors{ops::rms_norm(in[0], {}, weight, 1e-2F).second}; },
                [&](const Tensors& in) { return Tensors{norm_formula(in[0], weight.to(at::kDouble), 1e-2F)}; }, {x}, 1e-5);
    const auto op = [&](const Tensors& in) {
      const auto [sum, out] = ops::rms_norm(in[0], in[1], weight, 1e-2F);
      return Tensors{out, sum};
    };
    const auto formula = [&](const Tensors& in) {
      return Tensors{norm_formula(in[0] + in[1], weight.to(at::kDouble), 1e-2F), in[0] + in[1]};
    };
    expect_same(op, formula, {x, residual}, 1e-5);
    expect_same(op, formula, {x, residual}, 1e-5, 1);  // the sum is read by nobody
  }
}

TEST(RmsNormOp, WithoutResidualTheFirstResultIsTheInput) {
  const at::Tensor x = normal_tensor({2, 4}, 1);
  EXPECT_TRUE(ops::rms_norm(x, {}, at::ones({4}), 1e-5F).first.is_same(x));
}

TEST(LinearOp, IsTheFormulaForFewRowsAndMany) {
  const at::Tensor weight = normal_tensor({45, 70}, 2).contiguous();
  for (const std::int64_t rows : {3, 63, 64, 130}) {
    expect_same([&](const Tensors& in) { return Tensors{ops::linear(in[0], weight)}; },
                [&](const Tensors& in) { return Tensors{at::mm(in[0], weight.to(at::kDouble).t())}; }, {normal_tensor({rows, 70}, 1)});
  }
}

TEST(LinearOp, OfSomeRowsLeavesTheOthersZero) {
  const at::Tensor weight = normal_tensor({45, 70}, 2).contiguous();
  for (const Indices& some : {Indices{129}, Indices{5, 0, 5, 77}, Indices{}}) {
    const at::Tensor asked = at::tensor(some, at::kLong), mask = at::zeros({130, 1}, at::kDouble).index_fill_(0, asked, 1);
    expect_same([&](const Tensors& in) { return Tensors{ops::linear(in[0], weight, asked)}; },
                [&](const Tensors& in) { return Tensors{at::mm(in[0], weight.to(at::kDouble).t()) * mask}; },
                {normal_tensor({130, 70}, 1)});
  }
}

TEST(LinearOp, KeepsThePrecisionThatWasAskedFor) {
  const at::Tensor x = normal_tensor({80, 512}, 1).contiguous(), weight = normal_tensor({96, 512}, 2).contiguous();
  const at::Tensor exact = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
  for (const auto& [precision, bound] : {std::pair{"highest", 0x1p-20}, {"high", 0x1p-14}, {"medium", 0x1p-6}}) {
    at::globalContext().setFloat32MatmulPrecision(precision);
    const double error = ((ops::linear(x, weight).to(at::kDouble) - exact).abs().max() / exact.abs().max()).item<double>();
    EXPECT_LE(error, bound) << precision;
  }
  at::globalContext().setFloat32MatmulPrecision("highest");
}

TEST(SwigluOp, IsTheFormula) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {4, 33}}) {
    expect_same([](const Tensors& in) { return Tensors{ops::swiglu(in[0], in[1])}; },
                [](const Tensors& in) { return Tensors{in[0] * at::sigmoid(in[0]) * in[1]}; },
                {normal_tensor({rows, width}, 4, 3), normal_tensor({rows, width}, 5)}, 1e-5);
  }
}

/// keep / (1 - p) for every token and feature of a batch.
at::Tensor dropout_matrix(const PackedBatch& batch, const kernels::DropoutKey& key, std::uint32_t projection,
                          std::int64_t width) {
  at::Tensor mask = at::empty({batch.tokens(), width}, at::kDouble);
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(width));
  const double threshold = kernels::dropout_threshold(key.probability);
  for (std::int64_t t = 0; t < batch.tokens(); ++t) {
    const auto place = static_cast<std::size_t>(t);
    kernels::dropout_keep_mask(key, projection, batch.sample[place], batch.position[place], width, keep.data());
    for (std::int64_t i = 0; i < width; ++i) mask[t][i] = keep[static_cast<std::size_t>(i)] / (1 - threshold / 65536);
  }
  return mask;
}

TEST(LoraOp, IsTheFormulaWithDropoutOnAndOff) {
  PackedBatch batch;
  batch.add(std::vector<std::int32_t>(3, 0), 17);
  batch.add(std::vector<std::int32_t>(4, 0), 4000000000005ULL);
  const std::int64_t tokens = batch.tokens(), width = 20, rank = 5, q_out = 12, v_out = 6;
  for (const float probability : {0.0F, 0.3F}) {
    const kernels::DropoutKey key{.seed = 9, .step = 3, .layer = 2, .probability = probability};
    const Tensors inputs = {normal_tensor({tokens, width}, 1), normal_tensor({tokens, q_out}, 2),
                            normal_tensor({tokens, v_out}, 3), normal_tensor({rank, width}, 4, 0.3),
                            normal_tensor({q_out, rank}, 5),   normal_tensor({rank, width}, 6, 0.3),
                            normal_tensor({v_out, rank}, 7)};
    expect_same(
        [&](const Tensors& in) {
          // q and v are changed in place, so they may not be leaves.
          const auto [q, v] =
              ops::lora_qv(in[0], in[1] * 1, in[2] * 1, {in[3], in[4]}, {in[5], in[6]}, 1.5F, to_device(batch, at::kCPU), key);
          return Tensors{q, v};
        },
        [&](const Tensors& in) {
          const auto dropped = [&](std::uint32_t projection) { return in[0] * dropout_matrix(batch, key, projection, width); };
          return Tensors{in[1] + 1.5 * dropped(0).matmul(in[3].t()).matmul(in[4].t()),
                         in[2] + 1.5 * dropped(1).matmul(in[5].t()).matmul(in[6].t())};
        },
        inputs, 1e-5);
  }
}

TEST(LoraOp, InputWithoutGradientGetsNone) {
  PackedBatch batch;
  batch.add(std::vector<std::int32_t>(2, 0), 1);
  const at::Tensor x = normal_tensor({2, 8}, 1);
  at::Tensor a = normal_tensor({3, 8}, 2).requires_grad_(), b = normal_tensor({4, 3}, 3).requires_grad_();
  const auto [q, v] = ops::lora_qv(x, at::zeros({2, 4}), at::zeros({2, 4}), {a, b}, {a, b}, 1.0F, to_device(batch, at::kCPU), {});
  (q.sum() + v.sum()).backward();
  EXPECT_FALSE(x.grad().defined());
  expect_close(b.grad(), 2 * at::ones({4, 2}).matmul(x.matmul(a.t())).detach(), 1e-5);
}

TEST(EmbedSpliceOp, PutsFeaturesInTheirSlots) {
  const at::Tensor embedding = normal_tensor({11, 6}, 1);
  PackedBatch batch;
  batch.add(std::vector<std::int32_t>{3, -1, 10, 0}, 0);
  batch.add(std::vector<std::int32_t>{-3, -2, -1}, 1);  // a slot may be used twice
  expect_same([&](const Tensors& in) { return Tensors{ops::embed_splice(embedding, in[0], batch)}; },
              [&](const Tensors& in) {
                const at::Tensor e = embedding.to(at::kDouble);
                return Tensors{at::stack({e[3], in[0][0], e[10], e[0], in[0][2], in[0][1], in[0][0]})};
              },
              {normal_tensor({3, 6}, 2)}, 1e-6);
}

TEST(EmbedSpliceOp, RefusesTokensAndSlotsThatAreNotThere) {
  const at::Tensor embedding = normal_tensor({11, 6}, 1);
  for (const std::int32_t token : {11, 5000, -1, -3}) {
    PackedBatch batch;
    batch.add(std::vector<std::int32_t>{token}, 0);
    EXPECT_THROW(ops::embed_splice(embedding, {}, batch), Error) << token;
  }
  PackedBatch batch;
  batch.add(std::vector<std::int32_t>{-3}, 0);
  EXPECT_THROW(ops::embed_splice(embedding, normal_tensor({2, 6}, 2), batch), Error);
}

TEST(YesBceOp, IsTheFormula) {
  const at::Tensor yes = normal_tensor({20}, 2, 0.3), label = at::tensor({1.0F, 0.0F, 1.0F, 0.0F, 1.0F}),
                   weight = at::tensor({0.2F, 0.5F, 0.0F, 0.25F, 1.0F});
  const auto logits = [&](const at::Tensor& hidden) { return hidden.matmul(yes.to(hidden.scalar_type())); };
  expect_same([&](const Tensors& in) { return Tensors{ops::yes_bce(in[0], yes, label, weight).total}; },
              [&](const Tensors& in) {
                const at::Tensor z = logits(in[0]);
                return Tensors{((at::softplus(z) - z * label) * weight).sum()};
              },
              {normal_tensor({5, 20}, 1, 2)}, 1e-5);
  const at::Tensor hidden = normal_tensor({5, 20}, 1, 2).requires_grad_();
  const auto loss = ops::yes_bce(hidden, yes, label, weight);
  const at::Tensor z = logits(hidden.detach());
  expect_close(loss.logit, z, 1e-5);
  expect_close(loss.rows, (at::softplus(z) - z * label) * (weight != 0), 1e-5);  // a row without weight has no loss
  EXPECT_FALSE(loss.rows.requires_grad() || loss.logit.requires_grad());
}

TEST(YesBceOp, FarLogitsStayFinite) {
  const at::Tensor hidden = at::tensor({300.0F, -300.0F}).view({2, 1}).requires_grad_();
  const auto loss = ops::yes_bce(hidden, at::ones({1}), at::tensor({0.0F, 1.0F}), at::ones({2}));
  loss.total.backward();
  expect_close(loss.rows, at::tensor({300.0F, 300.0F}), 1e-6);
  expect_close(hidden.grad(), at::tensor({1.0F, -1.0F}).view({2, 1}), 1e-6);
}

TEST(CrossEntropyOp, IsTheFormulaInOneChunkAndInMany) {
  // Chunks hold 2^22 logits: the last case takes chunks of 41 and 4 rows.
  for (const auto& [rows, vocab] : {std::pair{1, 2}, {7, 301}, {45, 100001}}) {
    const std::int64_t width = 12;
    const at::Tensor head = normal_tensor({vocab, width}, 2), weight = normal_tensor({rows}, 3).abs();
    at::Tensor target = at::arange(rows, at::kLong) * 37 % vocab;
    target[rows - 1] = vocab - 1;
    const auto row_losses = [&](const at::Tensor& hidden) {
      return at::cross_entropy_loss(hidden.matmul(head.to(hidden.scalar_type()).t()), target, {}, at::Reduction::None);
    };
    expect_same([&](const Tensors& in) { return Tensors{ops::linear_cross_entropy(in[0], head, target, weight).total}; },
                [&](const Tensors& in) { return Tensors{(row_losses(in[0]) * weight).sum()}; }, {normal_tensor({rows, width}, 1)},
                2e-5);
    const at::Tensor hidden = normal_tensor({rows, width}, 1);
    const auto without_graph = ops::linear_cross_entropy(hidden, head, target, weight);
    expect_close(without_graph.rows, row_losses(hidden.to(at::kDouble)), 2e-5);
    EXPECT_FALSE(without_graph.total.requires_grad());
  }
}

}  // namespace
}  // namespace thinkrec
