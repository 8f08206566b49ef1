#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/amx.h"
#include "kernels/linear_int8_dot.h"

namespace thinkrec::kernels {
namespace {

using int8::kParts;
using simd::Vec;

constexpr std::int64_t kBlockCodes = kInt8Block * kInt8Outs;

std::int64_t blocks_of(std::int64_t width) { return (width + kInt8Block - 1) / kInt8Block; }
std::int64_t groups_of(std::int64_t out) { return (out + kInt8Outs - 1) / kInt8Outs; }

/// x in 8 bits. Tokens from the real ones to a whole number of tiles are there and hold anything.
struct Tokens {
  Tokens(std::int64_t tokens, std::int64_t width)
      : blocks(blocks_of(width)),
        stride(blocks * kInt8Block),
        codes(static_cast<std::size_t>((tokens + 15) / 16 * 16 * stride)),
        scales(static_cast<std::size_t>(tokens * blocks)),
        shift(scales.size()) {}
  std::int64_t blocks, stride;
  std::vector<std::int8_t> codes;   // [tokens, stride]
  std::vector<float> scales;        // [tokens, blocks]
  std::vector<std::int32_t> shift;  // [tokens, blocks] 128 times the sum of the integers: what codes + 128 bring in too much

  const std::int8_t* code(std::int64_t token, std::int64_t block) const {
    return codes.data() + token * stride + block * kInt8Block;
  }
};

/// v to the nearest integers, halves away from zero.
THINKREC_INLINE simd::VecInt round(Vec v) {
  const simd::VecBits half = (std::bit_cast<simd::VecBits>(v) & 0x80000000u) | std::bit_cast<std::uint32_t>(0.5f);
  return __builtin_convertvector(v + std::bit_cast<Vec>(half), simd::VecInt);
}

/// Integers and scale of `count` values of a block; the rest of it is zero.
float round_block(const float* x, std::int64_t count, std::int8_t* codes) {
  typedef std::int8_t Codes __attribute__((vector_size(simd::kLanes)));
  constexpr std::int64_t kVecs = kInt8Block / simd::kLanes;
  float padded[kInt8Block] = {};
  if (count < kInt8Block) {
    std::copy_n(x, count, padded);
    x = padded;
  }
  Vec value[kVecs], largest = {};
  for (std::int64_t i = 0; i < kVecs; ++i) {
    value[i] = simd::load(x + i * simd::kLanes);
    largest = simd::max(largest, std::bit_cast<Vec>(std::bit_cast<simd::VecBits>(value[i]) & 0x7fffffffu));
  }
  const float top = simd::max(largest), inverse = top > 0 ? 127.0f / top : 0.0f;
  for (std::int64_t i = 0; i < kVecs; ++i) {
    const Codes narrow = __builtin_convertvector(round(value[i] * inverse), Codes);
    std::memcpy(codes + i * simd::kLanes, &narrow, sizeof narrow);
  }
  return top / 127.0f;
}

void round_token(const float* x, std::int64_t width, std::int64_t token, Tokens& to) {
  for (std::int64_t b = 0; b < to.blocks; ++b) {
    std::int8_t* codes = to.codes.data() + token * to.stride + b * kInt8Block;
    const std::int64_t at = token * to.blocks + b;
    to.scales[static_cast<std::size_t>(at)] =
        round_block(x + token * width + b * kInt8Block, std::min(kInt8Block, width - b * kInt8Block), codes);
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < kInt8Block; ++k) sum += codes[k];
    to.shift[static_cast<std::size_t>(at)] = 128 * sum;
  }
}

THINKREC_INLINE Vec to_float(simd::VecInt v) { return __builtin_convertvector(v, Vec); }

void store_outs(const Vec (&sums)[kParts], float* result, std::int64_t outs) {
  for (std::int64_t p = 0; p < kParts; ++p) {
    const std::int64_t count = std::min(simd::kLanes, outs - p * simd::kLanes);
    if (count == simd::kLanes) simd::store(result + p * simd::kLanes, sums[p]);
    if (count > 0 && count < simd::kLanes) simd::store_part(result + p * simd::kLanes, sums[p], count);
  }
}

/// T tokens from `token` times G groups from `group`.
template <std::int64_t T, std::int64_t G>
void multiply_tile(const Tokens& x, std::int64_t token, const Int8Product& product, std::int64_t group) {
  const Int8Weights& w = product.weights;
  Vec sums[T][G][kParts] = {};
  for (std::int64_t b = 0; b < x.blocks; ++b) {
    int8::Sums integers[T][G];
    const std::uint8_t* codes[G];
    const std::int8_t* from[T];
#pragma GCC unroll 2
    for (std::int64_t g = 0; g < G; ++g) codes[g] = w.codes + ((group + g) * x.blocks + b) * kBlockCodes;
#pragma GCC unroll 4
    for (std::int64_t t = 0; t < T; ++t) from[t] = x.code(token + t, b);
    for (std::int64_t k = 0; k < kInt8Block; k += 4) {
#pragma GCC unroll 4
      for (std::int64_t t = 0; t < T; ++t) {
#pragma GCC unroll 2
        for (std::int64_t g = 0; g < G; ++g) int8::add_four(integers[t][g], codes[g] + k * kInt8Outs, from[t] + k);
      }
    }
#pragma GCC unroll 4
    for (std::int64_t t = 0; t < T; ++t) {
      const auto at = static_cast<std::size_t>((token + t) * x.blocks + b);
#pragma GCC unroll 2
      for (std::int64_t g = 0; g < G; ++g) {
        for (std::int64_t p = 0; p < kParts; ++p) {
          const Vec scale = simd::load(w.scales + ((group + g) * x.blocks + b) * kInt8Outs + p * simd::kLanes) * x.scales[at];
          sums[t][g][p] += to_float(integers[t][g].part[p] - (int8::kRaw ? x.shift[at] : 0)) * scale;
        }
      }
    }
  }
  for (std::int64_t t = 0; t < T; ++t) {
    for (std::int64_t g = 0; g < G; ++g) {
      const std::int64_t first = (group + g) * kInt8Outs;
      store_outs(sums[t][g], product.result + (token + t) * w.out + first, std::min(kInt8Outs, w.out - first));
    }
  }
}

template <std::int64_t G>
void multiply_groups(const Tokens& x, std::int64_t from, std::int64_t tokens, const Int8Product& product, std::int64_t group) {
  std::int64_t t = from;
  for (; t + 4 <= tokens; t += 4) multiply_tile<4, G>(x, t, product, group);
  for (; t < tokens; ++t) multiply_tile<1, G>(x, t, product, group);
}

#if THINKREC_AMX_INT8
constexpr std::int64_t kTile = 16;           // tokens of a tile
constexpr std::int64_t kFewestForTiles = 6;  // below that tiles are mostly empty
/// Two tiles of tokens (the second may be missing) times two groups: tiles 0 to 3 sum, 4 and 5 hold x, 6 and 7 codes.
template <bool kSecond, std::int64_t G>
void multiply_tiles(const Tokens& x, std::int64_t token, std::int64_t tokens, const Int8Product& product, std::int64_t group) {
  const Int8Weights& w = product.weights;
  constexpr std::int64_t kTiles = kSecond ? 2 : 1;
  alignas(64) std::int32_t integers[kTiles][G][kTile][kInt8Outs];
  alignas(64) Vec sums[kTiles * kTile][G] = {};
  const std::int64_t here = std::min(kTiles * kTile, tokens - token);
  for (std::int64_t b = 0; b < x.blocks; ++b) {
    const std::uint8_t* codes = w.codes + (group * x.blocks + b) * kBlockCodes;
    _tile_loadd(6, codes, 64);
    if constexpr (G > 1) _tile_loadd(7, codes + x.blocks * kBlockCodes, 64);
    _tile_loadd(4, x.code(token, b), x.stride);
    if constexpr (kSecond) _tile_loadd(5, x.code(token + kTile, b), x.stride);
    _tile_zero(0);
    _tile_dpbsud(0, 4, 6);
    _tile_stored(0, integers[0][0], 64);
    if constexpr (G > 1) {
      _tile_zero(1);
      _tile_dpbsud(1, 4, 7);
      _tile_stored(1, integers[0][G - 1], 64);
    }
    if constexpr (kSecond) {
      _tile_zero(2);
      _tile_dpbsud(2, 5, 6);
      _tile_stored(2, integers[kTiles - 1][0], 64);
      if constexpr (G > 1) {
        _tile_zero(3);
        _tile_dpbsud(3, 5, 7);
        _tile_stored(3, integers[kTiles - 1][G - 1], 64);
      }
    }
    Vec scale[G];
    for (std::int64_t g = 0; g < G; ++g) scale[g] = simd::load(w.scales + ((group + g) * x.blocks + b) * kInt8Outs);
    for (std::int64_t t = 0; t < here; ++t) {
      const auto at = static_cast<std::size_t>((token + t) * x.blocks + b);
#pragma GCC unroll 2
      for (std::int64_t g = 0; g < G; ++g) {
        simd::VecInt sum;
        std::memcpy(&sum, integers[t / kTile][g][t % kTile], sizeof sum);
        sums[t][g] += to_float(sum - x.shift[at]) * (scale[g] * x.scales[at]);
      }
    }
  }
  for (std::int64_t t = 0; t < here; ++t) {
    for (std::int64_t g = 0; g < G; ++g) {
      const std::int64_t first = (group + g) * kInt8Outs;
      const Vec one[kParts] = {sums[t][g]};
      store_outs(one, product.result + (token + t) * w.out + first, std::min(kInt8Outs, w.out - first));
    }
  }
}

template <std::int64_t G>
void multiply_groups_tiled(const Tokens& x, std::int64_t tokens, const Int8Product& product, std::int64_t group) {
  std::int64_t t = 0;
  for (; tokens - t > kTile; t += 2 * kTile) multiply_tiles<true, G>(x, t, tokens, product, group);
  if (t >= tokens) return;
  if (tokens - t >= kFewestForTiles) return multiply_tiles<false, G>(x, t, tokens, product, group);
  multiply_groups<G>(x, t, tokens, product, group);
}
#endif

}  // namespace

std::int64_t int8_codes(std::int64_t out, std::int64_t width) { return groups_of(out) * blocks_of(width) * kBlockCodes; }
std::int64_t int8_scales(std::int64_t out, std::int64_t width) { return groups_of(out) * blocks_of(width) * kInt8Outs; }

void pack_int8(const float* weights, std::int64_t out, std::int64_t width, std::uint8_t* codes, float* scales, int threads) {
  THINKREC_CHECK(out >= 1 && width >= 1 && threads >= 1, "out {}, width {}, threads {}", out, width, threads);
  const std::int64_t groups = groups_of(out), blocks = blocks_of(width);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      std::uint8_t* to = codes + (group * blocks + b) * kBlockCodes;
      for (std::int64_t o = 0; o < kInt8Outs; ++o) {
        std::int8_t block[kInt8Block] = {};
        float scale = 0;
        const std::int64_t row = group * kInt8Outs + o;
        if (row < out) {
          scale = round_block(weights + row * width + b * kInt8Block, std::min(kInt8Block, width - b * kInt8Block), block);
        }
        scales[(group * blocks + b) * kInt8Outs + o] = scale;
        for (std::int64_t k = 0; k < kInt8Block; ++k)
          to[(k / 4 * kInt8Outs + o) * 4 + k % 4] = static_cast<std::uint8_t>(block[k] + 128);
      }
    }
  }
}

void linear_int8(const float* x, std::int64_t tokens, std::int64_t width, std::span<const Int8Product> products, int threads) {
  THINKREC_CHECK(tokens >= 0 && width >= 1 && threads >= 1, "tokens {}, width {}, threads {}", tokens, width, threads);
  std::vector<std::int64_t> begin = {0};  // of each matrix among all pairs of groups
  for (const Int8Product& product : products) {
    const Int8Weights& w = product.weights;
    THINKREC_CHECK(w.width == width && w.out >= 1, "a matrix of {} x {} for x of width {}", w.out, w.width, width);
    begin.push_back(begin.back() + (groups_of(w.out) + 1) / 2);
  }
  if (tokens == 0) return;
  Tokens rounded(tokens, width);
#if THINKREC_AMX_INT8
  const bool tiles = tokens >= kFewestForTiles && amx::permitted();
#endif
  // Runs of pairs are dealt out as threads become free: another process may hold one up.
  const std::int64_t run = std::max<std::int64_t>(1, begin.back() / (threads * 6));
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#pragma omp for schedule(static)
    for (std::int64_t t = 0; t < tokens; ++t) round_token(x, width, t, rounded);
#if THINKREC_AMX_INT8
    if (tiles) amx::configure();
#endif
#pragma omp for schedule(dynamic, run)
    for (std::int64_t pair = 0; pair < begin.back(); ++pair) {
      const auto which = static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), pair) - begin.begin() - 1);
      const Int8Product& product = products[which];
      const std::int64_t group = (pair - begin[which]) * 2;
      const bool both = group + 1 < groups_of(product.weights.out);
#if THINKREC_AMX_INT8
      if (tiles) {
        both ? multiply_groups_tiled<2>(rounded, tokens, product, group)
             : multiply_groups_tiled<1>(rounded, tokens, product, group);
        continue;
      }
#endif
      both ? multiply_groups<2>(rounded, 0, tokens, product, group) : multiply_groups<1>(rounded, 0, tokens, product, group);
    }
#if THINKREC_AMX_INT8
    if (tiles) amx::release();
#endif
  }
}

}  // namespace thinkrec::kernels
