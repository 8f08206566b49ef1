// The step's operations against the same formulas as a PyTorch user writes them (libtorch, eager), side by side on this machine:
// forward and backward of a pack of 4,096 tokens; ours and theirs alternate, medians are printed.
//   OMP_NUM_THREADS=2 build/release/bench_ops [ROUNDS]     on the CPU: fp32, SmolLM2-135M's shapes; 7 rounds
//   build/release/bench_ops ROUNDS cuda                    on a GPU: bf16, Llama-3-8B's shapes, with the bytes that the operation must move
//                                                          as a share of what a plain copy moves; exit code 77 without a GPU

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "gpu/gpu.h"
#include "kernels/adamw.h"
#include "kernels/rope.h"
#include "model/ops.h"

namespace {

using namespace thinkrec;

constexpr std::int64_t kTokens = 4096, kRank = 8, kRows = 10;

struct Bench {
  at::Device device = at::kCPU;
  at::ScalarType type = at::kFloat;  // of activations and frozen weights
  std::int64_t width = 576, q = 576, v = 192, heads = 9, head_width = 64, ffn = 1536, vocab = 49152, layers = 30;
  int rounds = 7;
  double copy_rate = 0;  // bytes/s that a plain copy moves; GPUs only

  at::Tensor random(at::IntArrayRef shape, double scale = 1) const { return (at::randn(shape) * scale).to(device, type); }
  at::Tensor random_fp32(at::IntArrayRef shape, double scale = 1) const { return (at::randn(shape) * scale).to(device); }
  bool on_gpu() const { return device.is_cuda(); }
} bench;

void wait() {
  if (bench.on_gpu()) c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).synchronizeDevice(bench.device.index());
}

double seconds(const std::function<void()>& run) {
  wait();
  const auto start = std::chrono::steady_clock::now();
  run();
  wait();
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

/// `bytes`: what the operation must move, forward and backward.
void compare(const char* name, const char* bar, double bytes, int rounds, const std::function<void()>& ours,
             const std::function<void()>& theirs, bool memory = false) {
  std::string note;
  if (memory && !bench.on_gpu()) {
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
  if (bench.on_gpu()) {
    const double rate = bytes / median(own);
    note = fmt::format("{:.0f} GB/s, {:.0f} %", rate / 1e9, 100 * rate / bench.copy_rate);
  }
  fmt::print("| {} | {:.3f} | {:.3f} | {:.2f}x | {} | {} |\n", name, 1e3 * median(own), 1e3 * median(other), median(ratio), bar,
             note);
  std::fflush(stdout);
}

void backward(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& grads,
              const std::vector<at::Tensor>& inputs) {
  torch::autograd::grad(outputs, inputs, grads);
}

/// An activation, and an adapter's matrix, that want a gradient.
at::Tensor leaf(at::IntArrayRef shape) { return bench.random(shape).requires_grad_(true); }
at::Tensor matrix(at::IntArrayRef shape) { return bench.random_fp32(shape, .05).requires_grad_(true); }

/// A LoRA branch as PEFT runs it: the adapter is fp32, whatever the model is.
at::Tensor branch(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b) {
  return (2 * at::linear(at::linear(at::dropout(x.to(at::kFloat), .05, true), a), b)).to(x.scalar_type());
}

void open_device() {
  std::string why;
  if (gpu_count(why) == 0) {
    fmt::print("skipped: no GPU ({})\n", why);
    std::exit(77);
  }
  open_gpu(0, /*deterministic=*/true);
  bench = {at::Device(at::kCUDA, 0), at::kBFloat16, 4096, 4096, 1024, 32, 128, 14336, 128256, 32, bench.rounds, 0};
  const at::Tensor from = at::empty({1 << 30}, at::TensorOptions(at::kByte).device(bench.device)), to = at::empty_like(from);
  std::vector<double> times;
  for (int i = 0; i < 12; ++i) times.push_back(seconds([&] { to.copy_(from); }));
  bench.copy_rate = 2.0 * static_cast<double>(from.nbytes()) / median(times);
  fmt::print("a copy moves {:.0f} GB/s\n", bench.copy_rate / 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) bench.rounds = std::atoi(argv[1]);
  if (argc > 2 && std::string(argv[2]) == "cuda") open_device();
  const int rounds = bench.rounds;
  const auto kWidth = bench.width, kQ = bench.q, kV = bench.v, kHeads = bench.heads, kHeadWidth = bench.head_width,
             kFfn = bench.ffn, kVocab = bench.vocab;
  const double item = bench.on_gpu() ? 2 : 4, tokens = kTokens;  // bytes of an activation
  at::manual_seed(1);
  fmt::print("{} threads, {} rounds, medians\n", at::get_num_threads(), rounds);
  fmt::print("| op, forward + backward | ours, ms | libtorch, ms | faster | asked for | {} |\n|---|---|---|---|---|---|\n",
             bench.on_gpu() ? "of a copy's rate" : "memory");

  PackedBatch batch;
  for (std::int64_t row = 0; row < kRows; ++row) {
    const std::int64_t length = kTokens * (row + 1) / kRows - kTokens * row / kRows;
    batch.add(std::vector<std::int32_t>(static_cast<std::size_t>(length), 1), static_cast<std::uint64_t>(row));
  }

  {
    const at::Tensor x = leaf({kTokens, kWidth}), a_q = matrix({kRank, kWidth}), a_v = matrix({kRank, kWidth});
    const at::Tensor b_q = matrix({kQ, kRank}), b_v = matrix({kV, kRank}), q = bench.random({kTokens, kQ}),
                     v = bench.random({kTokens, kV});
    const at::Tensor grad_q = at::randn_like(q), grad_v = at::randn_like(v);
    const std::vector<at::Tensor> inputs = {x, a_q, b_q, a_v, b_v};
    const DeviceBatch there = to_device(batch, bench.device);
    std::uint64_t step = 0;
    compare(
        "lora_qv, dropout .05", ">= 1.5x", tokens * item * static_cast<double>(4 * kWidth + 4 * (kQ + kV)), rounds,
        [&] {
          // q and v are accumulated into: on buffers of their own, which a step has from its matrix products.
          const auto [q_out, v_out] =
              ops::lora_qv(x, q.detach(), v.detach(), {a_q, b_q}, {a_v, b_v}, 2, there, {1, ++step, 0, .05f});
          backward({q_out, v_out}, {grad_q, grad_v}, inputs);
        },
        [&] {
          const at::Tensor q_out = q + branch(x, a_q, b_q), v_out = v + branch(x, a_v, b_v);
          backward({q_out, v_out}, {grad_q, grad_v}, inputs);
        });
  }
  {
    const at::Tensor x = leaf({kTokens, kFfn}), weight = bench.random({kWidth, kFfn}, .05), grad = bench.random({kTokens, kWidth});
    compare(
        "linear, down projection", ">= 1x", 2 * item * (tokens * static_cast<double>(kFfn + kWidth) + static_cast<double>(kFfn * kWidth)), rounds,
        [&] { backward({ops::linear(x, weight)}, {grad}, {x}); }, [&] { backward({at::linear(x, weight)}, {grad}, {x}); });
  }
  const at::Tensor head = bench.random({kVocab, kWidth}, .05);
  {
    const at::Tensor hidden = leaf({kTokens, kWidth}), label = at::randint(2, {kRows}).to(bench.device, at::kFloat),
                     weight = at::ones_like(label);
    const at::Tensor answer = (at::arange(kRows) * (kTokens / kRows) + kTokens / kRows - 1).to(bench.device);
    const at::Tensor yes = head[7].contiguous();
    compare(
        "yes_bce, 10 rows (full-vocabulary logits)", ">= 50x", item * static_cast<double>((2 * kRows + 1) * kWidth),
        std::min(rounds, 3),
        [&] { backward({ops::yes_bce(hidden.index_select(0, answer), yes, label, weight).total}, {}, {hidden}); },
        [&] {
          const at::Tensor logits = at::linear(hidden, head).index_select(0, answer).select(1, 7);
          backward({at::binary_cross_entropy_with_logits(logits.to(at::kFloat), label, {}, {}, at::Reduction::Sum)}, {},
                   {hidden});
        });
    const at::Tensor target = at::randint(kVocab, {kTokens}).to(bench.device), weights = bench.random_fp32({kTokens}) * 0 + 1;
    compare(
        "linear_cross_entropy, every token", ">= 1.3x, <= 1/10", 3 * item * tokens * static_cast<double>(kVocab),
        std::min(rounds, 3), [&] { backward({ops::linear_cross_entropy(hidden, head, target, weights).total}, {}, {hidden}); },
        [&] {
          backward({at::cross_entropy_loss(at::linear(hidden, head).to(at::kFloat), target, {}, at::Reduction::Sum)}, {},
                   {hidden});
        },
        true);
  }
  {
    const at::Tensor x = leaf({kTokens, kWidth}), residual = leaf({kTokens, kWidth}), weight = bench.random({kWidth}).abs();
    const at::Tensor grad_sum = at::randn_like(x), grad_out = at::randn_like(x);
    compare(
        "rms_norm with residual", ">= 2x", 8 * item * tokens * static_cast<double>(kWidth), rounds,
        [&] {
          const auto [sum, out] = ops::rms_norm(x, residual, weight, 1e-5f);
          backward({sum, out}, {grad_sum, grad_out}, {x, residual});
        },
        [&] {
          const at::Tensor sum = x + residual, wide = sum.to(at::kFloat);
          const at::Tensor out = weight * (wide * at::rsqrt(wide.pow(2).mean(-1, true) + 1e-5)).to(bench.type);
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
    const at::Tensor cos = rows(table.cos).to(bench.device, bench.type), sin = rows(table.sin).to(bench.device, bench.type);
    const at::Tensor turned = x.detach().clone(), back = grad.clone();  // in place, as in the step
    const RopeTensors angles = to_device(table, bench.device);
    const DeviceBatch there = to_device(batch, bench.device);
    compare(
        "rope", ">= 2x", 4 * item * tokens * static_cast<double>(kHeads * kHeadWidth), rounds,
        [&] {
          kernels_for(turned).rope(turned, there.position, angles, false);
          kernels_for(back).rope(back, there.position, angles, true);
        },
        [&] {
          const auto halves = x.chunk(2, -1);
          backward({x * cos + at::cat({-halves[1], halves[0]}, -1) * sin}, {grad}, {x});
        });
  }
  {
    const at::Tensor gate = leaf({kTokens, kFfn}), up = leaf({kTokens, kFfn}), grad = at::randn_like(gate);
    compare(
        "swiglu", ">= 2x", 8 * item * tokens * static_cast<double>(kFfn), rounds,
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
    for (std::int64_t layer = 0; layer < bench.layers; ++layer) {
      for (const auto& shape :
           std::vector<std::vector<std::int64_t>>{{kRank, kWidth}, {kQ, kRank}, {kRank, kWidth}, {kV, kRank}}) {
        const at::Tensor value = bench.random_fp32(shape);
        parameters.push_back({value, bench.random_fp32(shape), at::zeros_like(value), at::zeros_like(value)});
      }
    }
    std::vector<kernels::AdamwTensor> tensors;
    double bytes = 0;
    for (const Parameter& p : parameters) {
      tensors.push_back({p.value.mutable_data_ptr<float>(), p.gradient.const_data_ptr<float>(), p.first.mutable_data_ptr<float>(),
                         p.second.mutable_data_ptr<float>(), p.value.numel(), 1e-3f});
      bytes += 8 * 4 * static_cast<double>(p.value.numel());
    }
    const OpKernels& kernels = kernels_for(bench.device);
    std::int64_t step = 0;
    compare(
        "adamw with clipping, LoRA of all layers", ">= 3x", bytes, 10 * rounds,
        [&] {
          const double norm = kernels.gradient_norm(tensors, bench.device).norm;
          kernels.adamw(tensors, {1e-4, .9, .999, 1e-8, ++step, std::min(1.0, 1 / norm)}, bench.device);
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
