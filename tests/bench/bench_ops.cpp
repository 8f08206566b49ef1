// The step's operations against the same formulas as a PyTorch user writes them (libtorch, eager), side by side on this machine:
// forward and backward, fp32, SmolLM2-135M's shapes, a pack of 4,096 tokens.
//   OMP_NUM_THREADS=2 build/release/bench_ops [ROUNDS]      default 7; ours and theirs alternate, medians are printed

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/rope.h"
#include "model/ops.h"

namespace {

using namespace thinkrec;

constexpr std::int64_t kTokens = 4096, kWidth = 576, kQ = 576, kV = 192, kHeads = 9, kHeadWidth = 64, kFfn = 1536, kVocab = 49152;
constexpr std::int64_t kRank = 8, kRows = 10;

double seconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// The most memory in use while `run` runs above what was in use before, in MB.
double peak_megabytes(const std::function<void()>& run) {
  const auto field = [](const char* name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind(name, 0) == 0) return std::stod(line.substr(line.find(':') + 1)) / 1024;
    }
    return 0.0;
  };
  malloc_trim(0);  // what earlier runs left with the allocator would hide what this one takes
  const double before = field("VmRSS");
  std::ofstream("/proc/self/clear_refs") << "5";  // forget the high-water mark
  run();
  return field("VmHWM") - before;
}

void compare(const char* name, const char* bar, int rounds, const std::function<void()>& ours,
             const std::function<void()>& theirs, bool memory = false) {
  std::string note;
  if (memory) {
    const double own = peak_megabytes(ours), other = peak_megabytes(theirs);
    note = fmt::format("{:.0f} MB against {:.0f} MB: 1/{:.1f}", own, other, other / own);
  }
  ours();
  theirs();
  std::vector<double> own, other, ratio;
  for (int i = 0; i < rounds; ++i) {
    own.push_back(seconds(ours));
    other.push_back(seconds(theirs));
    ratio.push_back(other.back() / own.back());
  }
  fmt::print("| {} | {:.3f} | {:.3f} | {:.2f}x | {} | {} |\n", name, 1e3 * median(own), 1e3 * median(other), median(ratio), bar,
             note);
  std::fflush(stdout);
}

void backward(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& grads,
              const std::vector<at::Tensor>& inputs) {
  torch::autograd::grad(outputs, inputs, grads);
}

at::Tensor leaf(at::IntArrayRef shape, double scale = 1) { return (at::randn(shape) * scale).requires_grad_(true); }

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  at::manual_seed(1);
  fmt::print("{} threads, {} rounds, medians\n", at::get_num_threads(), rounds);
  fmt::print("| op, forward + backward | ours, ms | libtorch, ms | faster | asked for | memory |\n|---|---|---|---|---|---|\n");

  PackedBatch batch;
  for (std::int64_t row = 0; row < kRows; ++row) {
    const std::int64_t length = kTokens * (row + 1) / kRows - kTokens * row / kRows;
    batch.add(std::vector<std::int32_t>(static_cast<std::size_t>(length), 1), static_cast<std::uint64_t>(row));
  }

  {
    const at::Tensor x = leaf({kTokens, kWidth}), a_q = leaf({kRank, kWidth}, .05), a_v = leaf({kRank, kWidth}, .05);
    const at::Tensor b_q = leaf({kQ, kRank}, .05), b_v = leaf({kV, kRank}, .05), q = at::randn({kTokens, kQ}),
                     v = at::randn({kTokens, kV});
    const at::Tensor grad_q = at::randn_like(q), grad_v = at::randn_like(v);
    const std::vector<at::Tensor> inputs = {x, a_q, b_q, a_v, b_v};
    std::uint64_t step = 0;
    compare(
        "lora_qv, dropout .05", ">= 1.5x", rounds,
        [&] {
          // q and v are accumulated into: on buffers of their own, which a step has from its matrix products.
          const auto [q_out, v_out] =
              ops::lora_qv(x, q.detach(), v.detach(), {a_q, b_q}, {a_v, b_v}, 2, batch, {1, ++step, 0, .05f});
          backward({q_out, v_out}, {grad_q, grad_v}, inputs);
        },
        [&] {
          const at::Tensor q_out = q + 2 * at::linear(at::linear(at::dropout(x, .05, true), a_q), b_q);
          const at::Tensor v_out = v + 2 * at::linear(at::linear(at::dropout(x, .05, true), a_v), b_v);
          backward({q_out, v_out}, {grad_q, grad_v}, inputs);
        });
  }
  const at::Tensor head = at::randn({kVocab, kWidth}) * .05;
  {
    const at::Tensor hidden = leaf({kTokens, kWidth}), label = at::randint(2, {kRows}).to(at::kFloat), weight = at::ones({kRows});
    const at::Tensor answer = at::arange(kRows) * (kTokens / kRows) + kTokens / kRows - 1;
    const at::Tensor yes = head[7].contiguous();
    compare(
        "yes_bce, 10 rows (full-vocabulary logits)", ">= 50x", std::min(rounds, 3),
        [&] { backward({ops::yes_bce(hidden.index_select(0, answer), yes, label, weight).total}, {}, {hidden}); },
        [&] {
          const at::Tensor logits = at::linear(hidden, head).index_select(0, answer).select(1, 7);
          backward({at::binary_cross_entropy_with_logits(logits, label, {}, {}, at::Reduction::Sum)}, {}, {hidden});
        });
    const at::Tensor target = at::randint(kVocab, {kTokens}), weights = at::ones({kTokens});
    compare(
        "linear_cross_entropy, every token", ">= 1.3x, <= 1/10", std::min(rounds, 3),
        [&] { backward({ops::linear_cross_entropy(hidden, head, target, weights).total}, {}, {hidden}); },
        [&] { backward({at::cross_entropy_loss(at::linear(hidden, head), target, {}, at::Reduction::Sum)}, {}, {hidden}); },
        true);
  }
  {
    const at::Tensor x = leaf({kTokens, kWidth}), residual = leaf({kTokens, kWidth}), weight = at::rand({kWidth});
    const at::Tensor grad_sum = at::randn_like(x), grad_out = at::randn_like(x);
    compare(
        "rms_norm with residual", ">= 2x", rounds,
        [&] {
          const auto [sum, out] = ops::rms_norm(x, residual, weight, 1e-5f);
          backward({sum, out}, {grad_sum, grad_out}, {x, residual});
        },
        [&] {
          const at::Tensor sum = x + residual;
          const at::Tensor out = weight * (sum * at::rsqrt(sum.pow(2).mean(-1, true) + 1e-5));
          backward({sum, out}, {grad_sum, grad_out}, {x, residual});
        });
  }
  {
    const at::Tensor x = leaf({kTokens, kHeads, kHeadWidth}), grad = at::randn_like(x);
    const kernels::RopeTable table = kernels::make_rope_table(kTokens, kHeadWidth, 1e5, {});
    std::vector<std::int64_t> position(batch.position.begin(), batch.position.end());
    const auto rows = [&](const std::vector<float>& half) {
      const at::Tensor all = at::from_blob(const_cast<float*>(half.data()), {kTokens, kHeadWidth / 2}, at::kFloat);
      return at::cat({all, all}, 1).index_select(0, at::tensor(position)).unsqueeze(1);
    };
    const at::Tensor cos = rows(table.cos), sin = rows(table.sin);
    at::Tensor turned = x.detach().clone(), back = grad.clone();  // in place, as in the step
    const int threads = at::get_num_threads();
    compare(
        "rope", ">= 2x", rounds,
        [&] {
          kernels::rope_forward(turned.mutable_data_ptr<float>(), kTokens, kHeads, kHeadWidth, batch.position.data(),
                                table.cos.data(), table.sin.data(), threads);
          kernels::rope_backward(back.mutable_data_ptr<float>(), kTokens, kHeads, kHeadWidth, batch.position.data(),
                                 table.cos.data(), table.sin.data(), threads);
        },
        [&] {
          const auto halves = x.chunk(2, -1);
          backward({x * cos + at::cat({-halves[1], halves[0]}, -1) * sin}, {grad}, {x});
        });
  }
  {
    const at::Tensor gate = leaf({kTokens, kFfn}), up = leaf({kTokens, kFfn}), grad = at::randn_like(gate);
    compare(
        "swiglu", ">= 2x", rounds,
        [&] {
          backward({ops::swiglu(gate, up)}, {grad}, {gate, up});
        },
        [&] {
          backward({at::silu(gate) * up}, {grad}, {gate, up});
        });
  }
  {
    struct Parameter {
      at::Tensor value, gradient, first, second;
    };
    std::vector<Parameter> parameters;
    for (int layer = 0; layer < 30; ++layer) {
      for (const auto& shape :
           std::vector<std::vector<std::int64_t>>{{kRank, kWidth}, {kQ, kRank}, {kRank, kWidth}, {kV, kRank}}) {
        parameters.push_back({at::randn(shape), at::randn(shape), at::zeros(shape), at::zeros(shape)});
      }
    }
    std::vector<kernels::AdamwTensor> tensors;
    for (const Parameter& p : parameters) {
      tensors.push_back({p.value.mutable_data_ptr<float>(), p.gradient.const_data_ptr<float>(), p.first.mutable_data_ptr<float>(),
                         p.second.mutable_data_ptr<float>(), p.value.numel(), 1e-3f});
    }
    const int threads = at::get_num_threads();
    std::int64_t step = 0;
    compare(
        "adamw with clipping, LoRA of 30 layers", ">= 3x", 10 * rounds,
        [&] {
          const double norm = kernels::gradient_norm(tensors, threads).norm;
          kernels::adamw(tensors, {1e-4, .9, .999, 1e-8, ++step, std::min(1.0, 1 / norm)}, threads);
        },
        [&] {
          std::vector<at::Tensor> norms;
          for (const Parameter& p : parameters) norms.push_back(p.gradient.norm());
          const double clip = std::min(1.0, 1 / at::stack(norms).norm().item<double>());
          ++step;
          const double c1 = 1 - std::pow(.9, static_cast<double>(step)),
                       c2 = std::sqrt(1 - std::pow(.999, static_cast<double>(step)));
          for (Parameter& p : parameters) {
            p.gradient.mul_(clip);
            p.value.mul_(1 - 1e-4 * 1e-3);
            p.first.lerp_(p.gradient, .1);
            p.second.mul_(.999).addcmul_(p.gradient, p.gradient, 1 - .999);
            p.value.addcdiv_(p.first, (p.second.sqrt() / c2).add_(1e-8), -1e-4 / c1);
          }
        });
  }
}
