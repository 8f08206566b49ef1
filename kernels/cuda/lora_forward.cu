// LoRA forward, q and v from one read of x (formula: kernels/lora_qv.h, kernels/lora_mixture.h).
//
// A block owns a tile of tokens and never needs another block. Phase one walks over the features once: x goes into registers, the two
// masks are made there from counters, and the matrices A pass through shared memory, where the block's 8 warps share them. Phase two
// walks over the outputs with coalesced writes; the low-rank activations [tile, 2, R] wait in shared memory in between.

#include "kernels/cuda/host.h"
#include "kernels/cuda/lora_tile.h"

namespace thinkrec::kernels::cuda {
namespace {

template <class T>
struct LoraForward {
  LoraInput<T> input;
  LoraProjection projection[2];
  T* out[2];
  float* low[2];
  bool vector;  // rows of x may be read four at a time
};

template <class T, class Tile>
THINKREC_KERNEL(kLoraThreads)
void lora_forward_kernel(LoraForward<T> work) {
  constexpr int kTile = Tile::kTile, kTokens = Tile::kTokens, R = Tile::kRanks, kOwn = Tile::kOwnRanks;
  THINKREC_DYNAMIC_SHARED(float, a_tile);              // [R, chunk]
  THINKREC_SHARED(float, low_tile, kTile * 2 * R);     // [kTile, 2, R], times scale and weight
  THINKREC_SHARED(std::uint32_t, streams, kTile * 5);  // each token's dropout stream, and its position
  const LoraInput<T>& input = work.input;
  const int rank = static_cast<int>(input.rank);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t tile = std::int64_t{blockIdx.x} * kTile;
  const int own_token = warp / Tile::kSplit * kTokens, own_rank = warp % Tile::kSplit * kOwn;  // the first of this warp
  const std::int64_t first = tile + own_token;
  const bool drops = input.dropout.probability != 0;
  const std::uint32_t threshold = dropout_threshold(input.dropout.probability);
  const float keep_scale = 1.0f / (1.0f - input.dropout.probability);
  for (int t = static_cast<int>(threadIdx.x); drops && t < kTile && tile + t < input.tokens; t += kLoraThreads) {
    const PhiloxWords stream = dropout_stream(input.dropout, input.sample[tile + t]);
    for (int i = 0; i < 4; ++i) streams[t * 5 + i] = stream.word[i];
    streams[t * 5 + 4] = input.position[tile + t];
  }  // read behind the first barrier below

  for (std::int64_t expert = 0; expert < input.experts; ++expert) {
    const bool used = tile_uses(input, tile, tile + kTile, expert);
    float sums[2][kTokens][kOwn] = {};
    const std::int64_t end = used ? input.width : 0;
    for (std::int64_t chunk = 0; chunk < end; chunk += kLoraChunk) {  // mutate: equivalent, because beyond it are zeros
      float x[kTokens][8];
      const std::int64_t mine = chunk + lane * 8;
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const std::int64_t width = first + t < input.tokens ? input.width : 0;
        load8(input.x + (first + t) * input.width, mine, width, work.vector, x[t]);
      }
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        const float* a = work.projection[p].a + expert * input.rank * input.width;
        __syncthreads();  // the last readers of a_tile are done
        stage_chunk<R>(a_tile, rank, chunk, input.width, [&](int r, std::int64_t f) { return a[r * input.width + f]; });
        __syncthreads();
        float dropped[kTokens][8];
#pragma unroll
        for (int t = 0; t < kTokens; ++t) {
          unsigned keep = 0xffu;
          if (drops && first + t < input.tokens) {
            PhiloxWords stream;
            for (int i = 0; i < 4; ++i) stream.word[i] = streams[(own_token + t) * 5 + i];
            keep = keep_bits(dropout_words(stream, input.dropout.layer, static_cast<std::uint32_t>(p),
                                           streams[(own_token + t) * 5 + 4], static_cast<std::uint32_t>(mine / 8)),
                             threshold);
          }
#pragma unroll
          for (int i = 0; i < 8; ++i) dropped[t][i] = (keep >> i & 1u) != 0 ? x[t][i] * (drops ? keep_scale : 1.0f) : 0.0f;
        }
        add_dots<kOwn, kTokens>(dropped, a_tile + own_rank * kLoraChunk, sums[p]);
      }
    }

    __syncthreads();  // the last expert's readers of low_tile are done
#pragma unroll
    for (int p = 0; p < 2; ++p) {
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const std::int64_t token = first + t;
        const float weight = token < input.tokens ? expert_weight(input, token, expert) : 0.0f;
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const float low = used ? warp_sum(sums[p][t][i]) : 0.0f;
          if (lane != 0) continue;
          const int r = own_rank + i;
          low_tile[((own_token + t) * 2 + p) * R + r] = input.scale * weight * low;
          if (work.low[p] != nullptr && token < input.tokens && r < rank) {
            work.low[p][(expert * input.tokens + token) * input.rank + r] = weight != 0.0f ? low : 0.0f;
          }
        }
      }
    }
    __syncthreads();
    if (!used) continue;
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      const LoraProjection& projection = work.projection[p];
      for (std::int64_t o = threadIdx.x; o < projection.out; o += kLoraThreads) {
        float b[R];
#pragma unroll
        for (int r = 0; r < R; ++r) b[r] = r < rank ? projection.b[(expert * projection.out + o) * input.rank + r] : 0.0f;
        for (int t = 0; t < kTile && tile + t < input.tokens; ++t) {
          float sum = 0;
#pragma unroll
          for (int r = 0; r < R; ++r) sum += low_tile[(t * 2 + p) * R + r] * b[r];
          T& to = work.out[p][(tile + t) * projection.out + o];
          from_float(to_float(to) + sum, to);
        }
      }
    }
  }
}

}  // namespace

template <class T>
void lora_forward(const LoraInput<T>& input, const LoraProjection& q, const LoraProjection& v, T* q_out, T* v_out, float* q_low,
                  float* v_low, void* stream) {
  require_lora(input, q.out, v.out);
  if (input.tokens == 0) return;
  const LoraForward<T> work{input, {q, v}, {q_out, v_out}, {q_low, v_low}, vectorizable(input.width, {input.x})};
  with_rank_tile(input.rank, [&](auto tile) {
    using Tile = decltype(tile);
    const auto kernel = lora_forward_kernel<T, Tile>;
    allow_shared(reinterpret_cast<const void*>(kernel), Tile::kShared);
    THINKREC_LAUNCH(kernel, blocks_for(input.tokens, Tile::kTile), kLoraThreads, Tile::kShared, stream, work);
  });
  check_launch("lora_forward");
}

template <class T>
void require_lora(const LoraInput<T>& input, std::int64_t q_out, std::int64_t v_out) {
  require(input.tokens >= 0 && input.width >= 1 && q_out >= 1 && v_out >= 1, "LoRA: sizes");
  require(input.rank >= 1 && input.rank <= 64, "LoRA: 1 <= rank <= 64");
  require(input.experts == 1 || input.weight != nullptr, "LoRA: several experts need weights");
  const float p = input.dropout.probability;
  require(p >= 0 && p < 1, "LoRA: dropout probability in [0, 1)");
  require(p == 0 || input.tokens == 0 || (input.sample != nullptr && input.position != nullptr),
          "LoRA: dropout needs samples and positions");
}

#define THINKREC_INSTANTIATE(T)                                                                                            \
  template void lora_forward<T>(const LoraInput<T>&, const LoraProjection&, const LoraProjection&, T*, T*, float*, float*, \
                                void*);                                                                                    \
  template void require_lora<T>(const LoraInput<T>&, std::int64_t, std::int64_t);
THINKREC_INSTANTIATE(float)
THINKREC_INSTANTIATE(Bfloat16)
#undef THINKREC_INSTANTIATE

}  // namespace thinkrec::kernels::cuda
