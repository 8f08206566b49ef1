#pragma once
// LightGCN's graph (He et al. 2020): users and items as nodes, an edge for each pair with a positive train row.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "data/dataset.h"

namespace thinkrec {

class BipartiteGraph {
 public:
  explicit BipartiteGraph(const Dataset& dataset);
  std::int64_t nodes() const { return static_cast<std::int64_t>(begin_.size()) - 1; }  ///< users, then items
  /// D^-1/2 A D^-1/2 x for x [nodes, width] fp32; nodes without edges get zero. Differentiable; the matrix is symmetric.
  at::Tensor propagate(const at::Tensor& x) const;
  /// The same, outside autograd.
  at::Tensor multiply(const at::Tensor& x) const;

 private:
  std::vector<std::int64_t> begin_;  ///< CSR
  std::vector<std::int32_t> neighbour_;
  std::vector<float> weight_;
};

}  // namespace thinkrec
