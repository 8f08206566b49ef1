#include "encoders/graph.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace thinkrec {
namespace {

/// The graph outlives the backward pass: it belongs to the objective that runs it.
struct Propagate : torch::autograd::Function<Propagate> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, std::int64_t graph) {
    context->saved_data["graph"] = graph;
    return reinterpret_cast<const BipartiteGraph*>(graph)->multiply(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto* const graph = reinterpret_cast<const BipartiteGraph*>(context->saved_data["graph"].toInt());
    return {graph->multiply(gradients[0]), at::Tensor()};
  }
};

}  // namespace

BipartiteGraph::BipartiteGraph(const Dataset& dataset) {
  const auto users = static_cast<std::int32_t>(dataset.users.size());
  std::vector<std::pair<std::int32_t, std::int32_t>> edges;
  for (std::int64_t row : dataset.rows(Split::kTrain)) {
    if (dataset.label[row] == 0) continue;
    edges.emplace_back(dataset.user[row], users + dataset.item[row]);
    edges.emplace_back(users + dataset.item[row], dataset.user[row]);
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  begin_.assign(dataset.users.size() + dataset.items.size() + 1, 0);
  for (const auto& edge : edges) ++begin_[edge.first + 1];
  for (std::size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
  const auto degree = [&](std::int32_t node) { return static_cast<double>(begin_[node + 1] - begin_[node]); };
  for (const auto& [from, to] : edges) {
    neighbour_.push_back(to);
    weight_.push_back(static_cast<float>(1 / std::sqrt(degree(from) * degree(to))));
  }
}

at::Tensor BipartiteGraph::propagate(const at::Tensor& x) const {
  return Propagate::apply(x, reinterpret_cast<std::int64_t>(this));
}

at::Tensor BipartiteGraph::multiply(const at::Tensor& x) const {
  const at::Tensor input = x.contiguous(), result = at::zeros_like(input);
  const std::int64_t width = input.size(1);
  const float* const from = input.const_data_ptr<float>();
  float* const to = result.mutable_data_ptr<float>();
  at::parallel_for(0, nodes(), 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t node = first; node < last; ++node) {
      for (std::int64_t edge = begin_[node]; edge < begin_[node + 1]; ++edge) {
        const float* const row = from + neighbour_[edge] * width;
        for (std::int64_t i = 0; i < width; ++i) to[node * width + i] += weight_[edge] * row[i];
      }
    }
  });
  return result;
}

}  // namespace thinkrec
