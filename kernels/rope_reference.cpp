#include "core/error.h"
#include "kernels/rope.h"

namespace thinkrec::kernels {
namespace {

void rotate(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position,
            const float* cos, const float* sin, double direction) {
  THINKREC_CHECK(tokens >= 0 && heads >= 0 && head_width >= 2 && head_width % 2 == 0, "tokens {}, heads {}, head width {}",
                 tokens, heads, head_width);
  const std::int64_t half = head_width / 2;
  for (std::int64_t token = 0; token < tokens; ++token) {
    for (std::int64_t head = 0; head < heads; ++head) {
      float* h = x + (token * heads + head) * head_width;
      for (std::int64_t i = 0; i < half; ++i) {
        const double c = cos[position[token] * half + i], s = direction * sin[position[token] * half + i];
        const double a = h[i], b = h[i + half];
        h[i] = static_cast<float>(a * c - b * s);
        h[i + half] = static_cast<float>(b * c + a * s);
      }
    }
  }
}

}  // namespace

void rope_forward_reference(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width,
                            const std::uint32_t* position, const float* cos, const float* sin) {
  rotate(x, tokens, heads, head_width, position, cos, sin, 1);
}

void rope_backward_reference(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width,
                             const std::uint32_t* position, const float* cos, const float* sin) {
  rotate(x, tokens, heads, head_width, position, cos, sin, -1);
}

}  // namespace thinkrec::kernels
