#pragma once
// The parameters of an encoder: one flat fp32 buffer of values and one of gradients, so that the all-reduce is a single call
// and the optimizer a single loop; the tensors are views of it. fp32, on the CPU.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace thinkrec {

struct ParameterSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  double mean = 0, deviation = 0;  ///< of the initial values
  bool decay = true;               ///< takes part in weight decay
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

class Parameters {
 public:
  /// Initial values are a function of (seed, name, element).
  Parameters(std::vector<ParameterSpec> specs, std::uint64_t seed);

  /// A leaf tensor that shares the flat buffers, its gradient too. kInternal for an unknown name.
  at::Tensor operator[](const std::string& name) const;
  std::span<float> values();
  std::span<float> gradients();
  const std::vector<ParameterSpec>& specs() const { return specs_; }
  std::int64_t begin(std::size_t index) const { return begins_[index]; }

  NamedTensors copies() const;
  /// kBadData when a name is missing, unknown or its tensor not of the right shape.
  void assign(const NamedTensors& tensors);

 private:
  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> begins_;  ///< offsets into the flat buffers, one more than specs
  at::Tensor values_, gradients_;
  std::vector<at::Tensor> tensors_;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
class Adam {
 public:
  Adam(Parameters& parameters, double learning_rate, double weight_decay);
  /// One update by the gradients times `scale`.
  void step(float scale);

 private:
  Parameters& parameters_;
  double learning_rate_, weight_decay_;
  std::int64_t steps_ = 0;
  std::vector<float> first_, second_;  ///< moments
};

}  // namespace thinkrec
