// The .cu kernels (in the emulator) are as accurate as PyTorch's formulas in the same precision: against fp64, the largest error is at
// most twice that of libtorch's op-by-op formula on the same fp32 or bf16 tensors (and half a unit in the last place of the largest
// value, for results where libtorch happens to be exact).

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "kernels/cuda/kernels.h"
#include "support/tensors.h"

namespace thinkrec::kernels {
namespace {

using Tensors = std::vector<at::Tensor>;
using Formula = std::function<Tensors(const Tensors&)>;

template <class T>
constexpr at::ScalarType kType = std::is_same_v<T, float> ? at::kFloat : at::kBFloat16;

template <class T>
T* pointer(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

Tensors in_type(const Tensors& tensors, at::ScalarType type) {
  Tensors out;
  for (const at::Tensor& tensor : tensors) out.push_back(tensor.is_floating_point() ? tensor.to(type) : tensor);
  return out;
}

/// `inputs` as T holds them; `theirs` gives the results by libtorch for inputs of any type, `got` are ours.
template <class T>
void expect_as_accurate(const char* what, const Tensors& inputs, const Formula& theirs, const Tensors& got) {
  const Tensors exact = theirs(in_type(inputs, at::kDouble)), same = theirs(in_type(inputs, kType<T>));
  ASSERT_EQ(exact.size(), got.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const auto error = [&](const at::Tensor& tensor) { return (tensor.to(at::kDouble) - exact[i]).abs().max().item<double>(); };
    const double unit = exact[i].abs().max().item<double>() * (got[i].scalar_type() == at::kFloat ? 0x1p-24 : 0x1p-9);
    EXPECT_LE(error(got[i]), 2 * error(same[i]) + unit) << what << ", result " << i << ", libtorch's error " << error(same[i]);
  }
}

template <class T>
at::Tensor values(at::IntArrayRef shape, std::uint64_t seed, double scale = 1) {
  return thinkrec::testing::normal_tensor(shape, seed, scale).to(kType<T>).contiguous();
}

/// Results of `formula` and its gradients for `grads`.
Formula with_gradients(const Formula& formula, const Tensors& grads, std::size_t differentiable) {
  return [=](const Tensors& inputs) {
    Tensors leaves = inputs;
    for (std::size_t i = 0; i < differentiable; ++i) leaves[i] = inputs[i].detach().clone().requires_grad_(true);
    Tensors results = formula(leaves);
    Tensors outer;
    for (std::size_t i = 0; i < grads.size(); ++i) outer.push_back(grads[i].to(results[i].scalar_type()));
    const Tensors gradients =
        torch::autograd::grad(Tensors(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(grads.size())),
                              Tensors(leaves.begin(), leaves.begin() + static_cast<std::ptrdiff_t>(differentiable)), outer);
    for (at::Tensor& result : results) result = result.detach();
    results.insert(results.end(), gradients.begin(), gradients.end());
    return results;
  };
}

template <class T>
class KernelAccuracy : public ::testing::Test {};
using Types = ::testing::Types<float, Bfloat16>;
TYPED_TEST_SUITE(KernelAccuracy, Types);

TYPED_TEST(KernelAccuracy, Lora) {
  using T = TypeParam;
  constexpr std::int64_t tokens = 71, width = 229, rank = 8, q = 229, v = 71;
  const Tensors in = {values<T>({tokens, width}, 1),   values<T>({rank, width}, 2, .1), values<T>({q, rank}, 3),
                      values<T>({rank, width}, 4, .1), values<T>({v, rank}, 5),         values<T>({tokens, q}, 6),
                      values<T>({tokens, v}, 7)};
  const at::Tensor grad_q = values<T>({tokens, q}, 8), grad_v = values<T>({tokens, v}, 9);
  const Formula formula = with_gradients(
      [](const Tensors& i) {
        return Tensors{i[5] + 2 * i[0].mm(i[1].t()).mm(i[2].t()), i[6] + 2 * i[0].mm(i[3].t()).mm(i[4].t())};
      },
      {grad_q, grad_v}, 5);
  Tensors adapters;  // fp32, with the values that T holds
  for (std::size_t i = 1; i < 5; ++i) adapters.push_back(in[i].to(at::kFloat));
  const cuda::LoraInput<T> input{pointer<T>(in[0]), tokens, width, rank, 2.0f, nullptr, nullptr, {}};
  const cuda::LoraProjection pq{pointer<float>(adapters[0]), pointer<float>(adapters[1]), q},
      pv{pointer<float>(adapters[2]), pointer<float>(adapters[3]), v};
  const at::Tensor q_out = in[5].clone(), v_out = in[6].clone(), q_low = at::empty({tokens, rank}),
                   v_low = at::empty({tokens, rank});
  cuda::lora_forward(input, pq, pv, pointer<T>(q_out), pointer<T>(v_out), pointer<float>(q_low), pointer<float>(v_low), nullptr);
  Tensors grad;
  for (const at::Tensor& adapter : adapters) grad.push_back(at::zeros_like(adapter));
  const at::Tensor grad_x = at::zeros_like(in[0]),
                   workspace = at::empty({cuda::lora_backward_workspace(tokens, width, rank, 1, q, v)});
  cuda::lora_backward(input, pq, pv, pointer<T>(grad_q), pointer<T>(grad_v), pointer<float>(q_low), pointer<float>(v_low),
                      pointer<float>(grad[0]), pointer<float>(grad[1]), pointer<float>(grad[2]), pointer<float>(grad[3]),
                      pointer<T>(grad_x), pointer<float>(workspace), nullptr);
  expect_as_accurate<T>("lora", in, formula, {q_out, v_out, grad_x, grad[0], grad[1], grad[2], grad[3]});
}

TYPED_TEST(KernelAccuracy, YesBce) {
  using T = TypeParam;
  constexpr std::int64_t rows = 31, width = 229;
  const Tensors in = {values<T>({rows, width}, 1), values<T>({width}, 2, .2)};
  const at::Tensor label = at::arange(rows).remainder(2).to(at::kFloat), weight = at::ones({rows});
  const Formula formula = with_gradients(
      [&](const Tensors& i) {
        const at::Tensor logit = i[0].mv(i[1]);
        return Tensors{at::binary_cross_entropy_with_logits(logit, label.to(logit.scalar_type()), {}, {}, at::Reduction::None)};
      },
      {weight}, 1);
  const at::Tensor logit = at::empty({rows}), loss = at::empty({rows}), grad = at::empty_like(in[0]);
  cuda::yes_bce(pointer<T>(in[0]), pointer<T>(in[1]), pointer<float>(label), pointer<float>(weight), rows, width,
                pointer<float>(logit), pointer<float>(loss), pointer<T>(grad), nullptr);
  expect_as_accurate<T>("yes_bce", in, formula, {loss, grad});
}

TYPED_TEST(KernelAccuracy, SoftmaxCrossEntropy) {
  using T = TypeParam;
  constexpr std::int64_t rows = 33, vocab = 1031;
  const Tensors in = {values<T>({rows, vocab}, 1, 3)};
  const at::Tensor target = at::arange(rows) * 31, weight = at::ones({rows});
  const Formula formula = with_gradients(
      [&](const Tensors& i) { return Tensors{at::cross_entropy_loss(i[0], target, {}, at::Reduction::None)}; }, {weight}, 1);
  const at::Tensor loss = at::empty({rows}), grad = in[0].clone();
  cuda::softmax_cross_entropy(pointer<T>(grad), pointer<std::int64_t>(target), pointer<float>(weight), rows, vocab,
                              pointer<float>(loss), true, nullptr);
  expect_as_accurate<T>("cross_entropy", in, formula, {loss, grad});
}

TYPED_TEST(KernelAccuracy, RmsNorm) {
  using T = TypeParam;
  constexpr std::int64_t rows = 31, width = 229;
  const Tensors in = {values<T>({rows, width}, 1), values<T>({width}, 2)};
  const at::Tensor grad_out = values<T>({rows, width}, 3);
  const Formula formula = with_gradients(
      [](const Tensors& i) { return Tensors{i[1] * (i[0] * at::rsqrt(i[0].pow(2).mean(-1, true) + 1e-5))}; }, {grad_out}, 1);
  const at::Tensor out = at::empty_like(in[0]), inverse = at::empty({rows}), grad = at::empty_like(in[0]);
  cuda::rms_norm_forward<T>(pointer<T>(in[0]), nullptr, pointer<T>(in[1]), 1e-5f, rows, width, nullptr, pointer<T>(out),
                            pointer<float>(inverse), nullptr);
  cuda::rms_norm_backward<T>(pointer<T>(grad_out), pointer<T>(in[0]), pointer<T>(in[1]), pointer<float>(inverse), rows, width,
                             nullptr, pointer<T>(grad), nullptr);
  expect_as_accurate<T>("rms_norm", in, formula, {out, grad});
}

TYPED_TEST(KernelAccuracy, Rope) {
  using T = TypeParam;
  constexpr std::int64_t tokens = 33, heads = 3, half = 16;
  const at::Tensor angle = thinkrec::testing::normal_tensor({tokens, half}, 2, 10), cos = angle.cos(), sin = angle.sin();
  const at::Tensor position = at::arange(tokens, at::kInt);
  const Tensors in = {values<T>({tokens, heads, 2 * half}, 1)};
  const Formula formula = [&](const Tensors& i) {
    const auto type = i[0].scalar_type();
    const at::Tensor c = at::cat({cos, cos}, 1).unsqueeze(1).to(type), s = at::cat({sin, sin}, 1).unsqueeze(1).to(type);
    const auto halves = i[0].chunk(2, -1);
    return Tensors{i[0] * c + at::cat({-halves[1], halves[0]}, -1) * s};
  };
  const at::Tensor out = in[0].clone();
  cuda::rope(pointer<T>(out), tokens, heads, 2 * half, pointer<std::uint32_t>(position), pointer<float>(cos), pointer<float>(sin),
             false, nullptr);
  expect_as_accurate<T>("rope", in, formula, {out});
}

TYPED_TEST(KernelAccuracy, Swiglu) {
  using T = TypeParam;
  constexpr std::int64_t n = 71 * 229;
  const Tensors in = {values<T>({n}, 1, 2), values<T>({n}, 2)};
  const at::Tensor grad_out = values<T>({n}, 3);
  const Formula formula = with_gradients([](const Tensors& i) { return Tensors{at::silu(i[0]) * i[1]}; }, {grad_out}, 2);
  const at::Tensor out = at::empty_like(in[0]), grad_gate = at::empty_like(in[0]), grad_up = at::empty_like(in[0]);
  cuda::swiglu_forward(pointer<T>(in[0]), pointer<T>(in[1]), n, pointer<T>(out), nullptr);
  cuda::swiglu_backward(pointer<T>(grad_out), pointer<T>(in[0]), pointer<T>(in[1]), n, pointer<T>(grad_gate), pointer<T>(grad_up),
                        nullptr);
  expect_as_accurate<T>("swiglu", in, formula, {out, grad_gate, grad_up});
}

}  // namespace
}  // namespace thinkrec::kernels
