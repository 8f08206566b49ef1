#pragma once
// The parameters of an encoder: one flat fp32 buffer of values and one of gradients, so that the all-reduce is a single call
// and the optimizer a single loop; the tensors are views of it. fp32, on the CPU. Of one large table, a step may touch a few rows
// only: gradients, all-reduce and optimizer then leave the others alone.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
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
  bool sparse = false;             ///< [rows, width], differentiated through rows() alone; at most one
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

class Parameters {
 public:
  /// Initial values are a function of (seed, name, element). kInternal for more than one sparse table.
  Parameters(std::vector<ParameterSpec> specs, std::uint64_t seed);

  /// A leaf tensor that shares the flat buffers, its gradient too. kInternal for an unknown name.
  at::Tensor operator[](const std::string& name) const;
  /// Rows of a table, [indices..., width]. Of a sparse one, the backward pass adds to these rows' gradients and notes them as
  /// touched.
  at::Tensor rows(const std::string& name, const at::Tensor& indices) const;

  std::span<float> values();
  std::span<float> gradients();
  const std::vector<ParameterSpec>& specs() const { return specs_; }
  std::int64_t begin(std::size_t index) const { return begins_[index]; }

  std::optional<std::size_t> sparse() const { return sparse_; }  ///< its index among specs()
  /// Rows of the sparse table with a gradient since clear_gradients(), ascending.
  std::vector<std::int64_t> touched() const;
  void touch(std::span<const std::int64_t> rows);
  /// Touches no more than touched rows and dense parts.
  void clear_gradients();

  NamedTensors copies() const;
  /// kBadData when a name is missing, unknown or its tensor not of the right shape.
  void assign(const NamedTensors& tensors);

 private:
  std::size_t index(const std::string& name) const;

  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> begins_;  ///< offsets into the flat buffers, one more than specs
  at::Tensor values_, gradients_;
  std::vector<at::Tensor> tensors_;
  std::optional<std::size_t> sparse_;
  std::shared_ptr<struct TouchedRows> touched_;  ///< of the sparse table; the backward pass has it, too
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), and the running mean of what it makes of the parameters.
/// A row of the sparse table waits while it has no gradient. When it has one again, the decay of its moments and of its weights
/// and the running mean are made up for; what momentum alone would have added in between is not.
class Adam {
 public:
  /// The mean's decay per step is `averaging`, less early on, so that the initial values do not linger; 0: no mean.
  Adam(Parameters& parameters, double learning_rate, double weight_decay, double averaging = 0);
  /// One update by the gradients times `scale`; clears them.
  void step(float scale);
  /// Makes up for all rows that wait.
  void settle();
  /// Exchanges the running mean and the parameters; nothing without a mean. Settle first.
  void swap_mean();

 private:
  struct Rates {
    float shrink, rate, root, scale;  ///< weight decay, step size, 1 / sqrt of the second correction, of the gradients
  };
  void update(std::int64_t begin, std::int64_t end, const Rates& rates);
  void catch_up(std::int64_t row, std::int64_t last, float shrink);  ///< as if without a gradient until `last`
  double kept(std::int64_t from, std::int64_t to) const;             ///< of the mean, over the steps from + 1 .. to

  Parameters& parameters_;
  double learning_rate_, weight_decay_, averaging_;
  std::int64_t steps_ = 0;
  std::vector<float> first_, second_;   ///< moments
  std::vector<float> mean_;             ///< empty without averaging
  std::vector<double> log_kept_ = {0};  ///< after each step: the log of the product of the mean's decays so far
  std::vector<std::int64_t> seen_;      ///< per row of the sparse table: the step it is up to date with
};

}  // namespace thinkrec
