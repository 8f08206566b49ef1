#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "kernels/embed_splice.h"

namespace thinkrec::kernels {

void embed_splice_forward(const float* embedding, const float* features, const std::int32_t* token, std::int64_t tokens,
                          std::int64_t width, float* out, int threads) {
  THINKREC_CHECK(tokens >= 0 && width >= 1 && threads >= 1, "tokens {}, width {}, threads {}", tokens, width, threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t id = token[t];
    const float* from = id >= 0 ? embedding + id * width : features + (-1 - id) * width;
    std::memcpy(out + t * width, from, static_cast<std::size_t>(width) * sizeof(float));
  }
}

void embed_splice_backward(const float* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                           std::int64_t slots, float* grad_features, int threads) {
  THINKREC_CHECK(tokens >= 0 && width >= 1 && slots >= 0 && threads >= 1, "tokens {}, width {}, slots {}, threads {}", tokens,
                 width, slots, threads);
  // The tokens of each slot, in their order: users[first[s]] to users[first[s + 1] - 1].
  std::vector<std::int64_t> first(static_cast<std::size_t>(slots + 1), 0);
  std::int64_t uses = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (token[t] >= 0) continue;
    const std::int64_t slot = -1 - static_cast<std::int64_t>(token[t]);
    THINKREC_CHECK(slot < slots, "token {}: slot {} of {}", t, slot, slots);
    ++first[static_cast<std::size_t>(slot + 1)];
    ++uses;
  }
  for (std::size_t s = 1; s < first.size(); ++s) first[s] += first[s - 1];
  std::vector<std::int64_t> users(static_cast<std::size_t>(uses));
  std::vector<std::int64_t> next(first.begin(), first.end());
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (token[t] < 0)
      users[static_cast<std::size_t>(next[static_cast<std::size_t>(-1 - static_cast<std::int64_t>(token[t]))]++)] = t;
  }
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t s = 0; s < slots; ++s) {
    float* to = grad_features + s * width;
    std::fill_n(to, width, 0.0f);
    for (std::int64_t u = first[static_cast<std::size_t>(s)]; u < first[static_cast<std::size_t>(s) + 1]; ++u) {
      const float* from = grad_out + users[static_cast<std::size_t>(u)] * width;
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) to[i] += from[i];
    }
  }
}

}  // namespace thinkrec::kernels
