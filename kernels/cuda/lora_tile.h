#pragma once
// The inner loops of the LoRA kernels: a block of 8 warps takes a tile of tokens, each warp kTokens of them; the lanes of a warp share
// out the features, 8 neighbours each (one Philox call), and keep a partial dot product for every token and rank in registers. Ranks
// above 32 are shared out over two warps with the same tokens, so that a lane's 64 sums always fit.

#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"
#include "kernels/dropout.h"

namespace thinkrec::kernels::cuda {

inline constexpr int kLoraThreads = 256;
inline constexpr int kLoraWarps = kLoraThreads / kWarp;
inline constexpr int kLoraChunk = kWarp * static_cast<int>(kDropoutBlock);  // features in one round

/// Where feature f of a chunk lies in shared memory: the first four of every lane's eight, then the others, so that a warp's
/// 16-byte reads meet no bank twice.
THINKREC_DEVICE int chunk_slot(int f) { return (f / 4 % 2) * (kLoraChunk / 2) + f / 8 * 4 + f % 4; }

/// A lane's tile of registers: kTokens tokens by kRanks / kSplit ranks.
template <int ranks, int tokens, int split>
struct LoraTile {
  static constexpr int kRanks = ranks;
  static constexpr int kTokens = tokens;
  static constexpr int kSplit = split;                       // warps that share the ranks of the same tokens
  static constexpr int kOwnRanks = ranks / split;            // of one warp
  static constexpr int kTile = kLoraWarps / split * tokens;  // tokens of a block
  static constexpr int kShared = ranks * kLoraChunk * static_cast<int>(sizeof(float));
};

/// matrix[ranks, chunk] into shared memory, zeros beyond `rank` and `width`; value(r, f) reads the original. The barriers around it
/// are the caller's.
template <int R, class Shared, class Value>
THINKREC_DEVICE void stage_chunk(Shared tile, int rank, std::int64_t first, std::int64_t width, Value value) {
  for (int i = static_cast<int>(threadIdx.x); i < R * kLoraChunk; i += kLoraThreads) {
    const int r = i / kLoraChunk, f = i % kLoraChunk;
    tile[r * kLoraChunk + chunk_slot(f)] = r < rank && first + f < width ? value(r, first + f) : 0.0f;
  }
}

/// sums[t][r] += x[t] . tile[r] over this lane's features.
template <int R, int kTokens, class Shared>
THINKREC_DEVICE void add_dots(const float (&x)[kTokens][8], Shared tile, float (&sums)[kTokens][R]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    float a[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i] = tile[r * kLoraChunk + i / 4 * (kLoraChunk / 2) + lane * 4 + i % 4];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums[t][r] += x[t][i] * a[i];
    }
  }
}

/// The 8 neighbours of a row that belong to this lane, zeros beyond its width.
template <class T>
THINKREC_DEVICE void load8(const T* row, std::int64_t at, std::int64_t width, bool vector, float (&to)[8]) {
  const Float4 low = load4_within(row, at, width, vector), high = load4_within(row, at + 4, width, vector);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[i] = low.value[i];
    to[4 + i] = high.value[i];
  }
}

/// One bit for each of 8 features: kept or not.
THINKREC_DEVICE unsigned keep_bits(const PhiloxWords& words, std::uint32_t threshold) {
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t half = words.word[i / 2] >> (i % 2 * 16) & 0xffffu;
    bits |= static_cast<unsigned>(half >= threshold) << i;
  }
  return bits;
}

/// The weight of an expert for a token: 1 without a mixture.
template <class T>
THINKREC_DEVICE float expert_weight(const LoraInput<T>& input, std::int64_t token, std::int64_t expert) {
  return input.weight == nullptr ? 1.0f : input.weight[token * input.experts + expert];
}

/// Does any of the tile's tokens use this expert? The same answer on every thread of the block.
template <class T>
THINKREC_DEVICE bool tile_uses(const LoraInput<T>& input, std::int64_t first, std::int64_t end, std::int64_t expert) {
  if (input.weight == nullptr) return true;
  bool used = false;
  for (std::int64_t t = first; t < end && t < input.tokens; ++t) used = used || expert_weight(input, t, expert) != 0.0f;
  return used;
}

/// Calls run(tile) with the register tile for a rank: few ranks leave registers for more tokens a warp.
template <class Run>
void with_rank_tile(std::int64_t rank, Run run) {
  if (rank <= 8) {
    run(LoraTile<8, 4, 1>());
  } else if (rank <= 16) {
    run(LoraTile<16, 2, 1>());
  } else if (rank <= 32) {
    run(LoraTile<32, 1, 1>());
  } else {
    run(LoraTile<64, 1, 2>());
  }
}

template <class T>
void require_lora(const LoraInput<T>& input, std::int64_t q_out, std::int64_t v_out);

}  // namespace thinkrec::kernels::cuda
