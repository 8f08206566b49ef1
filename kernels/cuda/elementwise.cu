// The operations that touch each element once: RoPE, SwiGLU and the splice of features into embeddings (formulas: kernels/rope.h,
// swiglu.h, embed_splice.h). They are bound by memory: four elements an access where rows allow it.

#include "kernels/cuda/host.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"

namespace thinkrec::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// A thread turns one pair of a head; `sign` -1 turns back.
template <class T>
THINKREC_KERNEL(kThreads)
void rope_kernel(T* x, std::int64_t tokens, std::int64_t heads, std::int64_t half, const std::uint32_t* position,
                 const float* cos, const float* sin, float sign) {
  const std::int64_t pair = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (pair >= tokens * heads * half) return;
  const std::int64_t i = pair % half, head = pair / half, token = head / heads;
  T* a = x + head * 2 * half + i;
  const std::int64_t angle = position[token] * half + i;
  const float c = cos[angle], s = sign * sin[angle], low = to_float(a[0]), high = to_float(a[half]);
  from_float(low * c - high * s, a[0]);
  from_float(high * c + low * s, a[half]);
}

THINKREC_DEVICE float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

template <class T>
THINKREC_KERNEL(kThreads)
void swiglu_forward_kernel(const T* gate, const T* up, std::int64_t n, T* out, bool vector) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4;
  Float4 g = load4_within(gate, i, n, vector);
  const Float4 u = load4_within(up, i, n, vector);
#pragma unroll
  for (int j = 0; j < 4; ++j) g.value[j] = g.value[j] * sigmoid(g.value[j]) * u.value[j];
  store4_within(out, i, n, vector, g);
}

template <class T>
THINKREC_KERNEL(kThreads)
void swiglu_backward_kernel(const T* grad_out, const T* gate, const T* up, std::int64_t n, T* grad_gate, T* grad_up,
                            bool vector) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4;
  const Float4 d = load4_within(grad_out, i, n, vector), g = load4_within(gate, i, n, vector), u = load4_within(up, i, n, vector);
  Float4 to_gate, to_up;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float s = sigmoid(g.value[j]);
    to_gate.value[j] = d.value[j] * u.value[j] * s * (1.0f + g.value[j] * (1.0f - s));
    to_up.value[j] = d.value[j] * g.value[j] * s;
  }
  store4_within(grad_gate, i, n, vector, to_gate);
  store4_within(grad_up, i, n, vector, to_up);
}

/// A block copies one token's row.
template <class T>
THINKREC_KERNEL(kThreads)
void embed_splice_forward_kernel(const T* embedding, const float* features, const std::int32_t* token, std::int64_t width, T* out,
                                 bool vector, bool vector_features) {
  const std::int64_t id = token[blockIdx.x];
  T* to = out + std::int64_t{blockIdx.x} * width;
  for_fours(width, static_cast<int>(threadIdx.x), kThreads, [&](std::int64_t i) {
    const Float4 value = id >= 0 ? load4_within(embedding + id * width, i, width, vector)
                                 : load4_within(features + (-1 - id) * width, i, width, vector_features);
    store4_within(to, i, width, vector, value);
  });
}

/// A block owns a part of one slot's row and looks for its tokens in order, so the sum's order is that of the tokens.
template <class T>
THINKREC_KERNEL(kThreads)
void embed_splice_backward_kernel(const T* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                                  float* grad_features) {
  const std::int64_t slot = blockIdx.y, i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= width) return;
  float sum = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (token[t] == -1 - slot) sum += to_float(grad_out[t * width + i]);
  }
  grad_features[slot * width + i] = sum;
}

}  // namespace

template <class T>
void rope(T* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_width, const std::uint32_t* position, const float* cos,
          const float* sin, bool backward, void* stream) {
  require(tokens >= 0 && heads >= 0 && head_width >= 2 && head_width % 2 == 0, "rope: sizes");
  const std::int64_t pairs = tokens * heads * (head_width / 2);
  if (pairs == 0) return;
  const auto kernel = rope_kernel<T>;
  THINKREC_LAUNCH(kernel, blocks_for(pairs, kThreads), kThreads, 0, stream, x, tokens, heads, head_width / 2, position, cos, sin,
                  backward ? -1.0f : 1.0f);
  check_launch("rope");
}

template <class T>
void swiglu_forward(const T* gate, const T* up, std::int64_t n, T* out, void* stream) {
  require(n >= 0, "swiglu: size");
  if (n == 0) return;
  const auto kernel = swiglu_forward_kernel<T>;
  THINKREC_LAUNCH(kernel, blocks_for(n, 4 * kThreads), kThreads, 0, stream, gate, up, n, out,
                  vectorizable<T>(0, {gate, up, out}));
  check_launch("swiglu_forward");
}

template <class T>
void swiglu_backward(const T* grad_out, const T* gate, const T* up, std::int64_t n, T* grad_gate, T* grad_up, void* stream) {
  require(n >= 0, "swiglu: size");
  if (n == 0) return;
  const auto kernel = swiglu_backward_kernel<T>;
  THINKREC_LAUNCH(kernel, blocks_for(n, 4 * kThreads), kThreads, 0, stream, grad_out, gate, up, n, grad_gate, grad_up,
                  vectorizable<T>(0, {grad_out, gate, up, grad_gate, grad_up}));
  check_launch("swiglu_backward");
}

template <class T>
void embed_splice_forward(const T* embedding, const float* features, const std::int32_t* token, std::int64_t tokens,
                          std::int64_t width, T* out, void* stream) {
  require(tokens >= 0 && width >= 1, "embed_splice: sizes");
  if (tokens == 0) return;
  const auto kernel = embed_splice_forward_kernel<T>;
  THINKREC_LAUNCH(kernel, static_cast<int>(tokens), kThreads, 0, stream, embedding, features, token, width, out,
                  vectorizable<T>(width, {embedding, out}), vectorizable<float>(width, {features}));
  check_launch("embed_splice_forward");
}

template <class T>
void embed_splice_backward(const T* grad_out, const std::int32_t* token, std::int64_t tokens, std::int64_t width,
                           std::int64_t slots, float* grad_features, void* stream) {
  require(tokens >= 0 && width >= 1 && slots >= 0, "embed_splice: sizes");
  if (slots == 0) return;
  const auto kernel = embed_splice_backward_kernel<T>;
  const dim3 grid(static_cast<unsigned>(blocks_for(width, kThreads)), static_cast<unsigned>(slots));
  THINKREC_LAUNCH(kernel, grid, kThreads, 0, stream, grad_out, token, tokens, width, grad_features);
  check_launch("embed_splice_backward");
}

#define THINKREC_INSTANTIATE(T)                                                                                               \
  template void rope<T>(T*, std::int64_t, std::int64_t, std::int64_t, const std::uint32_t*, const float*, const float*, bool, \
                        void*);                                                                                               \
  template void swiglu_forward<T>(const T*, const T*, std::int64_t, T*, void*);                                               \
  template void swiglu_backward<T>(const T*, const T*, const T*, std::int64_t, T*, T*, void*);                                \
  template void embed_splice_forward<T>(const T*, const float*, const std::int32_t*, std::int64_t, std::int64_t, T*, void*);  \
  template void embed_splice_backward<T>(const T*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t, float*, void*);
THINKREC_INSTANTIATE(float)
THINKREC_INSTANTIATE(Bfloat16)
#undef THINKREC_INSTANTIATE

}  // namespace thinkrec::kernels::cuda
