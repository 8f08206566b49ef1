#pragma once
// The projector: collaborative vectors (width d1) into the model's embedding space (width d2), paper Eq. 3; and beside it the learnt
// tokens of a soft prompt, which lie in that space from the start.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "adapters/lora.h"

namespace thinkrec {

struct ProjectorConfig {
  std::int64_t expansion = 10;  ///< hidden width = expansion * d1
  /// Scale the output so that an untrained projector gives vectors of the size of token embeddings; the reference did not.
  bool match_scale = true;
};

/// Linear(d1, expansion d1), ReLU, Linear(expansion d1, d2). Users and items share it.
class Projector {
 public:
  Projector() = default;
  /// `embedding_rms` is the root mean square of the model's token embeddings (used when match_scale, and for learnt tokens). d1 0: no
  /// projector, learnt tokens alone.
  Projector(std::int64_t d1, std::int64_t d2, const ProjectorConfig& config, double embedding_rms, std::uint64_t seed,
            std::int64_t soft_tokens = 0);
  bool defined() const { return w1_.defined(); }
  Projector clone() const;
  /// A copy on the device.
  Projector to(at::Device device) const;
  at::Device device() const { return w1_.device(); }
  /// Learnt tokens [soft_tokens, d2]; undefined without any.
  const at::Tensor& soft() const { return soft_; }
  /// features [n, d1] -> [n, d2].
  at::Tensor apply(const at::Tensor& features) const;
  NamedTensors named() const;       ///< of the projector and the learnt tokens
  NamedTensors named_soft() const;  ///< of the learnt tokens alone
  /// named(), with the scale of match_scale in the second layer: linear, ReLU, linear of these is apply. Copies.
  NamedTensors folded() const;
  void load(const NamedTensors& values, const std::string& origin);

 private:
  at::Tensor w1_, b1_, w2_, b2_, soft_;
  double scale_ = 1;
};

}  // namespace thinkrec
