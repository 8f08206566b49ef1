#pragma once
// The trainable parameters of a phase with their flat gradient and AdamW state.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "adapters/lora.h"
#include "checkpoint/checkpoint.h"
#include "kernels/adamw.h"

namespace thinkrec {

class ParameterSet {
 public:
  /// Parameters are trained in place, all on one device: they are made to require gradients, which gather in one flat bucket.
  ParameterSet(NamedTensors parameters, double weight_decay);
  ~ParameterSet();  ///< the parameters require no gradient afterwards
  ParameterSet(const ParameterSet&) = delete;
  ParameterSet& operator=(const ParameterSet&) = delete;

  const NamedTensors& parameters() const { return parameters_; }
  std::int64_t count() const { return gradient_.numel(); }
  /// Flat gradient, [count] fp32, in the order of the parameters and where they are.
  const at::Tensor& gradient() const { return gradient_; }
  void zero_gradient();
  /// Norm of the flat gradient and whether it is finite.
  kernels::GradientNorm norm() const;
  /// One AdamW step from the flat gradient, scaled down to `clip` when its norm is larger (clip 0: never).
  void update(double learning_rate, std::int64_t step, double norm, double clip);

  /// Values, and moments under "first/" and "second/", for a checkpoint; `values_only` leaves the moments out.
  std::vector<StoredTensor> store(const std::string& prefix, bool values_only) const;
  /// The reverse of store. kBadData naming the tensor when one is missing or of another shape.
  void restore(const Checkpoint& checkpoint, const std::string& prefix, bool values_only);

 private:
  std::vector<kernels::AdamwTensor> views() const;

  NamedTensors parameters_;
  double weight_decay_;
  at::Tensor gradient_, first_, second_;  // flat
};

/// A tensor as a checkpoint stores it, and back (on the host).
StoredTensor store_tensor(const std::string& name, const at::Tensor& tensor);
at::Tensor tensor_of(const StoredTensor& stored);
NamedTensors tensors_with_prefix(const Checkpoint& checkpoint, const std::string& prefix);

/// Linear warm-up from a tenth of `peak`, then a cosine down to `floor` at the last step (1-based step of `steps`).
double learning_rate(std::int64_t step, std::int64_t steps, std::int64_t warmup, double peak, double floor);

}  // namespace thinkrec
