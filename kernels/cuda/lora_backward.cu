// LoRA backward for q and v (formula: kernels/lora_qv.h, kernels/lora_mixture.h), in four steps whose sums all have a fixed order:
//   1. grad_low_p = scale * w * grad_p B_p, a tile of tokens a block, as in the forward pass;
//   2. grad_b_p: a thread owns an output and walks over a slab of tokens; one partial sum a slab;
//   3. grad_a and grad_x: a thread owns a feature and walks over a slab; the masks of q and v are made again from counters, once for
//      8 features, and passed between neighbouring lanes; grad_x of both projections in one read and write, grad_a one partial a slab;
//   4. the partial sums are added in the order of slabs.

#include "kernels/cuda/host.h"
#include "kernels/cuda/lora_tile.h"

namespace thinkrec::kernels::cuda {
namespace {

constexpr int kSlab = 256;         // tokens
constexpr int kGroup = 32;         // tokens whose grad_low or low waits in shared memory
constexpr int kFeatureRanks = 16;  // of the register tile of step 3

template <class T>
struct LoraBackward {
  LoraInput<T> input;
  LoraProjection projection[2];
  const T* grad[2];     // [tokens, out]
  const float* low[2];  // [experts, tokens, rank]
  float* grad_low[2];   // [experts, tokens, rank]
  float* partial_a[2];  // [slabs, experts, rank, width]
  float* partial_b[2];  // [slabs, experts, out, rank]
  T* grad_x;
  bool vector[2];  // rows of grad_p may be read four at a time
};

template <class T, class Tile>
THINKREC_KERNEL(kLoraThreads)
void lora_grad_low_kernel(LoraBackward<T> work) {
  constexpr int kTile = Tile::kTile, kTokens = Tile::kTokens, R = Tile::kRanks, kOwn = Tile::kOwnRanks;
  THINKREC_DYNAMIC_SHARED(float, b_tile);  // [R, chunk]
  const LoraInput<T>& input = work.input;
  const int rank = static_cast<int>(input.rank), p = static_cast<int>(blockIdx.y);
  const std::int64_t expert = blockIdx.z;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int own_rank = warp % Tile::kSplit * kOwn;
  const std::int64_t tile = std::int64_t{blockIdx.x} * kTile, first = tile + warp / Tile::kSplit * kTokens;
  const std::int64_t out = work.projection[p].out;
  const float* b = work.projection[p].b + expert * out * input.rank;
  const bool used = tile_uses(input, tile, tile + kTile, expert);
  float sums[kTokens][kOwn] = {};
  for (std::int64_t chunk = 0; used && chunk < out; chunk += kLoraChunk) {  // mutate: equivalent, because beyond it are zeros
    float grad[kTokens][8];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const std::int64_t width = first + t < input.tokens ? out : 0;
      load8(work.grad[p] + (first + t) * out, chunk + lane * 8, width, work.vector[p], grad[t]);
    }
    __syncthreads();  // the last readers of b_tile are done
    stage_chunk<R>(b_tile, rank, chunk, out, [&](int r, std::int64_t o) { return b[o * input.rank + r]; });
    __syncthreads();
    add_dots<kOwn, kTokens>(grad, b_tile + own_rank * kLoraChunk, sums);
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const std::int64_t token = first + t;
    const float weight = token < input.tokens ? expert_weight(input, token, expert) : 0.0f;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const float sum = warp_sum(sums[t][i]);
      const int r = own_rank + i;
      if (lane == 0 && token < input.tokens && r < rank) {
        work.grad_low[p][(expert * input.tokens + token) * input.rank + r] = weight != 0.0f ? input.scale * weight * sum : 0.0f;
      }
    }
  }
}

THINKREC_DEVICE std::int64_t slab_end(std::int64_t slab, std::int64_t tokens) {
  const std::int64_t end = (slab + 1) * kSlab;
  return end < tokens ? end : tokens;  // mutate: equivalent, because both are the same there
}

template <class T, int R>
THINKREC_KERNEL(kLoraThreads)
void lora_grad_b_kernel(LoraBackward<T> work, int p) {
  THINKREC_SHARED(float, low, kGroup* R);  // [kGroup, R], times scale and weight
  const LoraInput<T>& input = work.input;
  const int rank = static_cast<int>(input.rank);
  const std::int64_t out = work.projection[p].out, o = std::int64_t{blockIdx.x} * kLoraThreads + threadIdx.x;
  const std::int64_t slab = blockIdx.y, expert = blockIdx.z;
  const std::int64_t end = slab_end(slab, input.tokens);
  float sums[R] = {};
  for (std::int64_t first = slab * kSlab; first < end; first += kGroup) {
    if (!tile_uses(input, first, first + kGroup, expert)) continue;
    __syncthreads();  // the last readers of low are done
    for (int i = static_cast<int>(threadIdx.x); i < kGroup * R; i += kLoraThreads) {
      const std::int64_t token = first + i / R;
      const int r = i % R;
      low[i] = token < input.tokens && r < rank ? input.scale * expert_weight(input, token, expert) *
                                                      work.low[p][(expert * input.tokens + token) * input.rank + r]
                                                : 0.0f;
    }
    __syncthreads();
    for (int t = 0; o < out && t < kGroup && first + t < input.tokens; ++t) {
      const float grad = to_float(work.grad[p][(first + t) * out + o]);
#pragma unroll
      for (int r = 0; r < R; ++r) sums[r] += grad * low[t * R + r];
    }
  }
  if (o >= out) return;
  float* to = work.partial_b[p] + ((slab * input.experts + expert) * out + o) * input.rank;
#pragma unroll
  for (int r = 0; r < R; ++r) {  // mutate: equivalent, because rank is at most R
    if (r < rank) to[r] = sums[r];
  }
}

/// The keep bits of the 8 features that lanes 8 i to 8 i + 7 own, for the 8 tokens from `token`: this lane makes those of token + lane
/// % 8, q in bits 0 to 7 and v in bits 8 to 15.
template <class T>
THINKREC_DEVICE unsigned keep_bits_of_eight(const LoraInput<T>& input, std::int64_t token, std::int64_t feature,
                                            std::uint32_t threshold) {
  const std::int64_t mine = token + threadIdx.x % 8;
  if (mine >= input.tokens) return 0;
  const PhiloxWords stream = dropout_stream(input.dropout, input.sample[mine]);
  unsigned bits = 0;
#pragma unroll
  for (std::uint32_t p = 0; p < 2; ++p) {  // mutate: equivalent, because bits 16 and up are not read
    bits |=
        keep_bits(dropout_words(stream, input.dropout.layer, p, input.position[mine], static_cast<std::uint32_t>(feature / 8)),
                  threshold)
        << (8 * p);
  }
  return bits;
}

template <class T, int R>
THINKREC_KERNEL(kLoraThreads)
void lora_grad_a_kernel(LoraBackward<T> work) {
  THINKREC_SHARED(float, grad_low, kGroup * 2 * R);  // [kGroup, 2, R]
  const LoraInput<T>& input = work.input;
  const int rank = static_cast<int>(input.rank);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t width = input.width, feature = std::int64_t{blockIdx.x} * kLoraThreads + threadIdx.x, slab = blockIdx.y;
  const bool drops = input.dropout.probability != 0;
  const std::uint32_t threshold = dropout_threshold(input.dropout.probability);
  const float keep_scale = drops ? 1.0f / (1.0f - input.dropout.probability) : 1.0f;
  const std::int64_t end = slab_end(slab, input.tokens);
  for (std::int64_t expert = 0; expert < input.experts; ++expert) {
    for (int rank0 = 0; rank0 < rank; rank0 += R) {  // mutate: equivalent, because ranks beyond are zeros and not written
      float a[2][R], sums[2][R] = {};
#pragma unroll
      for (int p = 0; p < 2; ++p) {
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const bool there = rank0 + r < rank && feature < width;
          a[p][r] = there ? work.projection[p].a[(expert * rank + rank0 + r) * width + feature] : 0.0f;
        }
      }
      for (std::int64_t first = slab * kSlab; first < end; first += kGroup) {
        if (!tile_uses(input, first, first + kGroup, expert)) continue;
        __syncthreads();  // the last readers of grad_low are done
        for (int i = static_cast<int>(threadIdx.x); i < kGroup * 2 * R; i += kLoraThreads) {
          const std::int64_t token = first + i / (2 * R);
          const int p = i / R % 2, r = rank0 + i % R;
          const bool ranked = r < rank;
          const bool there = token < input.tokens;  // mutate: equivalent, because one token more is still workspace, and not used
          grad_low[i] = ranked && there ? work.grad_low[p][(expert * input.tokens + token) * input.rank + r] : 0.0f;
        }
        __syncthreads();
        unsigned eight = 0xffffu;
#pragma unroll 2
        for (int t = 0; t < kGroup && first + t < input.tokens; ++t) {
          if (drops && t % 8 == 0) eight = keep_bits_of_eight(input, first + t, feature, threshold);
          const unsigned bits = drops ? __shfl_sync(kAllLanes, eight, lane / 8 * 8 + t % 8) >> (lane % 8) : 0xffffu;
          if (feature >= width) continue;
          const std::int64_t at = (first + t) * width + feature;
          const float x = to_float(input.x[at]);
          float grad_x = 0;
#pragma unroll
          for (int p = 0; p < 2; ++p) {
            const float factor = (bits >> (8 * p) & 1u) != 0 ? keep_scale : 0.0f;
            const float dropped = factor != 0.0f ? x * factor : 0.0f;
            float sum = 0;
#pragma unroll
            for (int r = 0; r < R; ++r) {
              const float gradient = grad_low[(t * 2 + p) * R + r];
              sum += gradient * a[p][r];
              sums[p][r] += gradient * dropped;
            }
            grad_x += factor * sum;
          }
          if (work.grad_x != nullptr) from_float(to_float(work.grad_x[at]) + grad_x, work.grad_x[at]);
        }
      }
#pragma unroll
      for (int p = 0; p < 2; ++p) {
#pragma unroll
        for (int r = 0; r < R; ++r) {
          if (feature < width && rank0 + r < rank) {
            work.partial_a[p][((slab * input.experts + expert) * rank + rank0 + r) * width + feature] = sums[p][r];
          }
        }
      }
    }
  }
}

THINKREC_KERNEL(256)
void add_partials_kernel(const float* partial, std::int64_t slabs, std::int64_t n, float* out) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0;
  for (std::int64_t slab = 0; slab < slabs; ++slab) sum += partial[slab * n + i];
  out[i] += sum;
}

std::int64_t slabs_of(std::int64_t tokens) { return (tokens + kSlab - 1) / kSlab; }

}  // namespace

std::int64_t lora_backward_workspace(std::int64_t tokens, std::int64_t width, std::int64_t rank, std::int64_t experts,
                                     std::int64_t q_out, std::int64_t v_out) {
  return experts * rank * (2 * tokens + slabs_of(tokens) * (2 * width + q_out + v_out));
}

template <class T>
void lora_backward(const LoraInput<T>& input, const LoraProjection& q, const LoraProjection& v, const T* grad_q, const T* grad_v,
                   const float* q_low, const float* v_low, float* grad_a_q, float* grad_b_q, float* grad_a_v, float* grad_b_v,
                   T* grad_x, float* workspace, void* stream) {
  require_lora(input, q.out, v.out);
  if (input.tokens == 0) return;
  const std::int64_t slabs = slabs_of(input.tokens), experts = input.experts;
  LoraBackward<T> work{input,
                       {q, v},
                       {grad_q, grad_v},
                       {q_low, v_low},
                       {},
                       {},
                       {},
                       grad_x,
                       {vectorizable(q.out, {grad_q}), vectorizable(v.out, {grad_v})}};
  for (int p = 0; p < 2; ++p) {
    const std::int64_t out = work.projection[p].out;
    work.grad_low[p] = workspace;
    work.partial_a[p] = work.grad_low[p] + experts * input.tokens * input.rank;
    work.partial_b[p] = work.partial_a[p] + slabs * experts * input.rank * input.width;
    workspace = work.partial_b[p] + slabs * experts * input.rank * out;
  }
  with_rank_tile(input.rank, [&](auto tile) {
    using Tile = decltype(tile);
    const auto grad_low = lora_grad_low_kernel<T, Tile>;
    allow_shared(reinterpret_cast<const void*>(grad_low), Tile::kShared);
    const dim3 tiles(static_cast<unsigned>(blocks_for(input.tokens, Tile::kTile)), 2, static_cast<unsigned>(experts));
    THINKREC_LAUNCH(grad_low, tiles, kLoraThreads, Tile::kShared, stream, work);
    check_launch("lora_grad_low");
    for (int p = 0; p < 2; ++p) {
      const auto grad_b = lora_grad_b_kernel<T, Tile::kRanks>;
      const dim3 outputs(static_cast<unsigned>(blocks_for(work.projection[p].out, kLoraThreads)), static_cast<unsigned>(slabs),
                         static_cast<unsigned>(experts));
      THINKREC_LAUNCH(grad_b, outputs, kLoraThreads, 0, stream, work, p);
      check_launch("lora_grad_b");
    }
    constexpr int kTileRanks = Tile::kRanks < kFeatureRanks ? Tile::kRanks : kFeatureRanks;
    const auto grad_a = lora_grad_a_kernel<T, kTileRanks>;
    const dim3 features(static_cast<unsigned>(blocks_for(input.width, kLoraThreads)), static_cast<unsigned>(slabs));
    THINKREC_LAUNCH(grad_a, features, kLoraThreads, 0, stream, work);
    check_launch("lora_grad_a");
  });
  float* const grad_a[2] = {grad_a_q, grad_a_v};
  float* const grad_b[2] = {grad_b_q, grad_b_v};
  for (int p = 0; p < 2; ++p) {
    const std::int64_t a = experts * input.rank * input.width, b = experts * input.rank * work.projection[p].out;
    THINKREC_LAUNCH(add_partials_kernel, blocks_for(a, 256), 256, 0, stream, work.partial_a[p], slabs, a, grad_a[p]);
    THINKREC_LAUNCH(add_partials_kernel, blocks_for(b, 256), 256, 0, stream, work.partial_b[p], slabs, b, grad_b[p]);
    check_launch("add_partials");
  }
}

#define THINKREC_INSTANTIATE(T)                                                                                         \
  template void lora_backward<T>(const LoraInput<T>&, const LoraProjection&, const LoraProjection&, const T*, const T*, \
                                 const float*, const float*, float*, float*, float*, float*, T*, float*, void*);
THINKREC_INSTANTIATE(float)
THINKREC_INSTANTIATE(Bfloat16)
#undef THINKREC_INSTANTIATE

}  // namespace thinkrec::kernels::cuda
