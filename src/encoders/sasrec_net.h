#pragma once
// The network of SASRec (Kang and McAuley 2018), made aware of labels: a causal pre-norm transformer over the items that a user
// judged, where a disliked item enters through scales and shifts of its own and so is not a liked one. On the CPU, fp32.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "encoders/encoder.h"
#include "encoders/parameters.h"
#include "encoders/windows.h"

namespace thinkrec {

/// Dropout of one training step; each window's masks depend on `step_key` and its own key alone.
struct WindowDropout {
  double rate = 0;
  std::uint64_t step_key = 0;
  std::span<const std::int64_t> window_keys;  ///< one per window of the batch
};

class SasrecNet {
 public:
  SasrecNet(const EncoderConfig& config, std::int64_t items);

  /// items, labels: int64 [windows, length], the padding on the right (any item); cut: int64 [windows], 1 where the window does
  /// not begin at the user's first interaction. Returns the states [windows, length + 1, width]: entry p has seen the first p
  /// items and nothing else, whatever stands in the padding.
  at::Tensor states(const at::Tensor& items, const at::Tensor& labels, const at::Tensor& cut,
                    const std::optional<WindowDropout>& dropout = {}) const;
  /// The vectors that states are multiplied with, [items, width] or of the asked items [..., width].
  at::Tensor item_vectors() const;
  at::Tensor item_vectors(const at::Tensor& items) const;

  /// Begins as an encoder whose items are `items` [items, width] and whose users are all `prior` [width], at a small distance.
  void start_from(const at::Tensor& items, const at::Tensor& prior);

  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  at::Tensor attention(const at::Tensor& x, std::int64_t block) const;
  at::Tensor feed_forward(const at::Tensor& x, std::int64_t block) const;
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;

  std::int64_t width_, blocks_, heads_;
  Parameters parameters_;
};

}  // namespace thinkrec
