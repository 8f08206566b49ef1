#include "app/bench_breakdown.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace thinkrec {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Frame {
  Clock::time_point start;
  double inner = 0;  // seconds of what it called
};
// Of the one thread that trains.
thread_local std::vector<Frame> frames;
thread_local std::map<std::string, double> spent;

std::string kind_of(const std::string& name) {
  if (name == "thinkrec::product") return "products";
  if (name.starts_with("thinkrec::")) return name;
  const auto one_of = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == std::string("aten::") + known; });
  };
  if (one_of({"mm", "addmm", "bmm", "matmul", "linear", "baddbmm", "dot"})) return "products";
  if (name.find("attention") != std::string::npos && name.starts_with("aten::")) return "attention";
  if (one_of({"copy_", "clone", "contiguous", "fill_", "zero_", "zeros_like", "zeros", "empty", "empty_like", "empty_strided",
              "cat", "index_select", "_to_copy", "to", "repeat_interleave", "resize_"}))
    return "copies and fills";
  if (one_of({"add", "add_", "mul", "mul_", "sum", "sub", "div", "addcmul_", "exp_", "logaddexp"}))
    return "sums and other elementwise";
  return name.starts_with("aten::") ? "other" : "autograd";
}

/// The parts of a step (train/step.cpp) are no operations.
bool is_part(const at::RecordFunction& function) { return std::string_view(function.name()).starts_with("step: "); }

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& function) {
  if (!is_part(function)) frames.push_back({Clock::now(), 0});
  return nullptr;
}

void on_end(const at::RecordFunction& function, at::ObserverContext*) {
  if (frames.empty() || is_part(function)) return;
  const double whole = since(frames.back().start), own = whole - frames.back().inner;
  frames.pop_back();
  spent[kind_of(function.name())] += own;
  if (!frames.empty()) frames.back().inner += whole;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// One linear layer of the floor.
struct Product {
  std::int64_t rows, in, out;
  bool backward;
};

}  // namespace

OpClock::OpClock()
    : handle_(at::addThreadLocalCallback(
          at::RecordFunctionCallback(on_start, on_end)
              .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}))) {
  start();
}

OpClock::~OpClock() { at::removeCallback(handle_); }

void OpClock::start() {
  frames.clear();
  spent.clear();
}

std::map<std::string, double> OpClock::seconds() const { return spent; }

ProductFloor product_floor(const LlamaConfig& model, const StepShape& step, int repeats) {
  const std::int64_t q = model.heads * model.head_width, kv = model.kv_heads * model.head_width;
  std::vector<Product> products;
  for (std::int64_t layer = step.lower_layers ? 0 : step.first_layer; layer < model.layers; ++layer) {
    const bool trained = layer >= step.first_layer;
    const std::int64_t behind = layer + 1 == model.layers ? step.answer_tokens : step.tokens;
    products.push_back({behind, model.width, q, layer > step.first_layer});
    for (int i = 0; i < 2; ++i) products.push_back({step.tokens, model.width, kv, layer > step.first_layer});
    products.push_back({behind, q, model.width, trained});
    for (int i = 0; i < 2; ++i) products.push_back({behind, model.width, model.ffn, trained});
    products.push_back({behind, model.ffn, model.width, trained});
  }
  products.push_back({step.answer_tokens, model.width, model.vocab, true});

  // Weights of their own, as a model has, so that no product finds them in the cache; activations in buffers that stay.
  std::vector<at::Tensor> weights;
  std::int64_t most_rows = 0, widest = 0;
  double flop = 0;
  for (const Product& product : products) {
    weights.push_back(at::randn({product.out, product.in}));
    most_rows = std::max(most_rows, product.rows);
    widest = std::max({widest, product.in, product.out});
    flop += (product.backward ? 4.0 : 2.0) * static_cast<double>(product.rows) * static_cast<double>(product.in * product.out);
  }
  const at::Tensor from = at::randn({most_rows * widest}), into = at::zeros({most_rows * widest});
  const auto shaped = [](const at::Tensor& flat, std::int64_t rows, std::int64_t width) {
    return flat.narrow(0, 0, rows * width).view({rows, width});
  };
  std::vector<double> seconds;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    const auto start = Clock::now();
    for (std::size_t i = 0; i < products.size(); ++i) {
      const Product& product = products[i];
      at::Tensor out = shaped(into, product.rows, product.out), back = shaped(into, product.rows, product.in);
      at::mm_out(out, shaped(from, product.rows, product.in), weights[i].t());
      if (product.backward) at::mm_out(back, shaped(from, product.rows, product.out), weights[i]);
    }
    seconds.push_back(since(start));
  }
  return {median(std::move(seconds)), flop};
}

}  // namespace thinkrec
