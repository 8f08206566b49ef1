#pragma once
// Rotary position embedding (Su et al. 2021) in the rotate-half convention of the Hugging Face Llama: in each head, feature i and
// feature i + head_width / 2 are one pair, turned by angle position * inverse_frequency[i]. fp32, for packed rows: each token
// brings its position. Results do not depend on `threads`.

#include <vector>

#include "kernels/views.h"

namespace thinkrec::kernels {

/// The frequency scaling of Llama 3 ("rope_type": "llama3" in config.json); llama3 = false leaves the frequencies as they are.
struct RopeScaling {
  bool llama3 = false;
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_length = 8192;  ///< original_max_position_embeddings
};

/// [head_width / 2] inverse frequencies theta^(-2 i / head_width), scaled; in fp32 operation by operation as transformers
/// computes them. Errors: head_width odd or < 2, theta or the scaling's numbers not positive, high factor not above the low one.
std::vector<float> rope_inverse_frequencies(std::int64_t head_width, double theta, const RopeScaling& scaling);

/// cos and sin of every angle, each [length, head_width / 2].
struct RopeTable {
  std::int64_t length = 0;
  std::int64_t head_width = 0;
  std::vector<float> cos, sin;
};
RopeTable make_rope_table(std::int64_t length, std::int64_t head_width, double theta, const RopeScaling& scaling);
/// The same from inverse frequencies made elsewhere, [head_width / 2].
RopeTable make_rope_table(std::int64_t length, const std::vector<float>& inverse_frequencies);

/// Turns x[tokens, heads, head_width] in place: (a, b) -> (a cos - b sin, b cos + a sin). position[tokens] indexes the rows of
/// the tables cos, sin [length, head_width / 2]; the caller guarantees position < length. Errors: head_width odd, negative sizes.
void rope_forward(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position,
                  const float* cos, const float* sin, int threads);
void rope_forward_reference(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width,
                            const std::uint32_t* position, const float* cos, const float* sin);

/// The gradient of rope_forward, in place: the inverse rotation.
void rope_backward(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position,
                   const float* cos, const float* sin, int threads);
void rope_backward_reference(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width,
                             const std::uint32_t* position, const float* cos, const float* sin);

}  // namespace thinkrec::kernels
