#pragma once
// Token embeddings with projected features spliced in: a token id >= 0 takes its row of the embedding table, a negative one,
// -1 - s, takes row s of `features`. fp32. Results do not depend on `threads`. The embedding is frozen: no gradient.

#include "kernels/views.h"

namespace thinkrec::kernels {

/// out[t] = token[t] >= 0 ? embedding[token[t]] : features[-1 - token[t]];  embedding[vocab, width], features[slots, width],
/// token[tokens], out[tokens, width]. The caller guarantees that ids and slots are in range. Errors: negative tokens, width < 1.
void embed_splice_forward(const float* embedding, const float* features, const std::int32_t* token, std::int64_t tokens,
                          std::int64_t width, float* out, int threads);
void embed_splice_forward_reference(const float* embedding, const float* features, const std::int32_t* token, std::int64_t tokens,
                                    std::int64_t width, float* out);

/// grad_features[slots, width] is written: the sum of grad_out[t] over the tokens t of a slot, in the order of tokens; 0 for an
/// unused slot. Errors: negative sizes, a slot outside [0, slots).
void embed_splice_backward(const float* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                           std::int64_t slots, float* grad_features, int threads);
void embed_splice_backward_reference(const float* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                                     std::int64_t slots, float* grad_features);

}  // namespace thinkrec::kernels
