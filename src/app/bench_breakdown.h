#pragma once
// Where a training step's time goes, and what its matrix products alone would take.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "model/config.h"

namespace thinkrec {

/// While it lives: the time inside each kind of operation on this thread, without the operations it calls. libtorch's own and those of
/// model/op_kernels.h.
class OpClock {
 public:
  OpClock();
  ~OpClock();
  OpClock(const OpClock&) = delete;
  OpClock& operator=(const OpClock&) = delete;
  void start();  ///< forgets what it has measured
  /// Seconds since start() by kind: "products", "attention", "copies and fills", "autograd", each "thinkrec::..." op, "other".
  std::map<std::string, double> seconds() const;

 private:
  std::uint64_t handle_;
};

/// What a step computes.
struct StepShape {
  std::int64_t tokens = 0;         ///< through all layers
  std::int64_t answer_tokens = 0;  ///< of them, those that predict a word and leave the last layer
  std::int64_t first_layer = 0;    ///< lowest trained layer
  bool lower_layers = true;        ///< whether those below it are computed, not read from a cache
};

struct ProductFloor {
  double seconds;
  double flop;  ///< a multiplication and an addition are two
};

/// The matrix products that such a step cannot do without, done by libtorch with this thread's settings, buffers kept, the median of
/// `repeats`: the linear layers forward (of the last layer, queries, output and MLP for answer tokens alone) and backward to
/// their inputs (none below what trains), and the head. Neither attention nor the adapters are counted.
ProductFloor product_floor(const LlamaConfig& model, const StepShape& step, int repeats);

}  // namespace thinkrec
