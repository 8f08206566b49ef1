#include <vector>

#include "core/error.h"
#include "kernels/embed_splice.h"

namespace thinkrec::kernels {

void embed_splice_forward_reference(const float* embedding, const float* features, const std::int32_t* token, std::int64_t tokens,
                                    std::int64_t width, float* out) {
  THINKREC_CHECK(tokens >= 0 && width >= 1, "tokens {}, width {}", tokens, width);
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t id = token[t];
      out[t * width + i] = id >= 0 ? embedding[id * width + i] : features[(-1 - id) * width + i];
    }
  }
}

void embed_splice_backward_reference(const float* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                                     std::int64_t slots, float* grad_features) {
  THINKREC_CHECK(tokens >= 0 && width >= 1 && slots >= 0, "tokens {}, width {}, slots {}", tokens, width, slots);
  std::vector<double> sums(static_cast<std::size_t>(slots * width), 0.0);
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (token[t] >= 0) continue;
    const std::int64_t slot = -1 - static_cast<std::int64_t>(token[t]);
    THINKREC_CHECK(slot < slots, "token {}: slot {} of {}", t, slot, slots);
    for (std::int64_t i = 0; i < width; ++i) sums[static_cast<std::size_t>(slot * width + i)] += grad_out[t * width + i];
  }
  for (std::size_t i = 0; i < sums.size(); ++i) grad_features[i] = static_cast<float>(sums[i]);
}

}  // namespace thinkrec::kernels
