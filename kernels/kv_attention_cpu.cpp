#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "kernels/kv_attention.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

using simd::kLanes;
using simd::Vec;

constexpr std::int64_t kQueries = 6;                   // of one head of keys, taken together
constexpr std::int64_t kKeyVecs = kKeyBlock / kLanes;  // vectors of a block of keys
constexpr std::int64_t kDims = kLanes == 16 ? 4 : 2;   // vectors of a value taken together
typedef std::uint16_t Halves __attribute__((vector_size(simd::kBytes / 2)));

THINKREC_INLINE Vec load_real(const float* from) { return simd::load(from); }
THINKREC_INLINE Vec load_real(const Bfloat16* from) {
  Halves half;
  std::memcpy(&half, from, sizeof half);
  return std::bit_cast<Vec>(__builtin_convertvector(half, simd::VecBits) << 16);
}
template <class Real>
Vec load_real_part(const Real* from, std::int64_t count) {
  float lane[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lane[i] = to_float(from[i]);
  return simd::load(lane);
}

/// Up to kQueries queries that read the same head of keys, in the order of their tokens.
struct Queries {
  std::int64_t count = 0;
  const float* q[kQueries];
  float* out[kQueries];
  std::int64_t seen[kQueries];  // keys, from the row's first
};

/// scores[i, j] = q_i . k_j for B blocks of keys. Fewer sums than a dozen at a time would wait for each other.
template <std::int64_t N, std::int64_t B, class Real>
void score_blocks(const Queries& queries, const Real* keys, std::int64_t width, float* scores, std::int64_t stride) {
  constexpr std::int64_t kVecs = B * kKeyVecs;
  Vec sums[N][kVecs] = {};
  for (std::int64_t d = 0; d < width; ++d) {
    Vec key[kVecs];
#pragma GCC unroll 8
    for (std::int64_t p = 0; p < kVecs; ++p)
      key[p] = load_real(keys + (p / kKeyVecs * width + d) * kKeyBlock + p % kKeyVecs * kLanes);
#pragma GCC unroll 6
    for (std::int64_t i = 0; i < N; ++i) {
#pragma GCC unroll 8
      for (std::int64_t p = 0; p < kVecs; ++p) sums[i][p] += queries.q[i][d] * key[p];
    }
  }
#pragma GCC unroll 6
  for (std::int64_t i = 0; i < N; ++i) {
#pragma GCC unroll 8
    for (std::int64_t p = 0; p < kVecs; ++p) simd::store(scores + i * stride + p * kLanes, sums[i][p]);
  }
}

/// The same for every key of a segment, in whole blocks.
template <std::int64_t N, class Real>
void score(const Queries& queries, const Real* keys, std::int64_t length, std::int64_t width, float* scores,
           std::int64_t stride) {
  constexpr std::int64_t kMost = (N <= 3 ? 4 : 2) / kKeyVecs > 0 ? (N <= 3 ? 4 : 2) / kKeyVecs : 1;
  const std::int64_t blocks = (length + kKeyBlock - 1) / kKeyBlock;
  std::int64_t block = 0;
  for (; block + kMost <= blocks; block += kMost)
    score_blocks<N, kMost>(queries, keys + block * kKeyBlock * width, width, scores + block * kKeyBlock, stride);
  for (; block < blocks; ++block)
    score_blocks<N, 1>(queries, keys + block * kKeyBlock * width, width, scores + block * kKeyBlock, stride);
}

/// scores[0 .. seen) become weights that sum to 1, and what follows up to `end` zero.
void softmax(float* scores, std::int64_t seen, std::int64_t end, float scale) {
  Vec top = simd::splat(-std::numeric_limits<float>::infinity());
  simd::for_lanes(0, seen, [&](std::int64_t i, std::int64_t count, auto whole) {
    Vec s = simd::load_lanes<whole>(scores + i, count) * scale;
    if constexpr (!whole) s = simd::keep_lanes(s, -std::numeric_limits<float>::infinity(), count);
    top = simd::max(top, s);
  });
  const float most = simd::max(top);
  Vec total = {};
  simd::for_lanes(0, seen, [&](std::int64_t i, std::int64_t count, auto whole) {
    Vec e = simd::exp(simd::load_lanes<whole>(scores + i, count) * scale - most);
    if constexpr (!whole) e = simd::keep_lanes(e, 0, count);
    total += e;
    simd::store_lanes<whole>(scores + i, e, count);
  });
  const float inverse = 1 / simd::sum(total);
  for (std::int64_t i = 0; i < seen; ++i) scores[i] *= inverse;
  std::fill(scores + seen, scores + end, 0.0f);
}

/// out_i[d ...] += sum over keys of weight_ij v_j[d ...], D whole vectors or a part of one.
template <std::int64_t N, std::int64_t D, bool kWhole, class Real>
void weigh(const Queries& queries, const float* weights, std::int64_t stride, const Real* values, std::int64_t length,
           std::int64_t width, std::int64_t d, std::int64_t part) {
  Vec sums[N][D];
  for (std::int64_t i = 0; i < N; ++i) {
    for (std::int64_t p = 0; p < D; ++p) sums[i][p] = simd::load_lanes<kWhole>(queries.out[i] + d + p * kLanes, part);
  }
  for (std::int64_t j = 0; j < length; ++j) {
    Vec value[D];
#pragma GCC unroll 4
    for (std::int64_t p = 0; p < D; ++p) {
      const Real* from = values + j * width + d + p * kLanes;
      value[p] = kWhole ? load_real(from) : load_real_part(from, part);
    }
#pragma GCC unroll 6
    for (std::int64_t i = 0; i < N; ++i) {
#pragma GCC unroll 4
      for (std::int64_t p = 0; p < D; ++p) sums[i][p] += weights[i * stride + j] * value[p];
    }
  }
  for (std::int64_t i = 0; i < N; ++i) {
    for (std::int64_t p = 0; p < D; ++p) simd::store_lanes<kWhole>(queries.out[i] + d + p * kLanes, sums[i][p], part);
  }
}

template <std::int64_t N, class Real>
void attend(const Queries& queries, const KvShape& shape, std::int64_t head, std::span<const KvSegment<Real>> segments,
            float* scores, std::int64_t stride) {
  const std::int64_t width = shape.head_width, end = queries.seen[N - 1];
  std::int64_t first = 0;
  for (const KvSegment<Real>& segment : segments) {
    const std::int64_t length = std::clamp<std::int64_t>(end - first, 0, segment.length);
    score<N>(queries, segment.keys + head * segment.capacity * width, length, width, scores + first, stride);
    first += length;
  }
  const float scale = 1 / std::sqrt(static_cast<float>(width));
  for (std::int64_t i = 0; i < N; ++i) {
    softmax(scores + i * stride, queries.seen[i], end, scale);
    std::fill(queries.out[i], queries.out[i] + width, 0.0f);
  }
  first = 0;
  for (const KvSegment<Real>& segment : segments) {
    const std::int64_t length = std::clamp<std::int64_t>(end - first, 0, segment.length);
    const Real* values = segment.values + head * segment.capacity * width;
    std::int64_t d = 0;
    for (; d + kDims * kLanes <= width; d += kDims * kLanes)
      weigh<N, kDims, true>(queries, scores + first, stride, values, length, width, d, kLanes);
    for (; d + kLanes <= width; d += kLanes) weigh<N, 1, true>(queries, scores + first, stride, values, length, width, d, kLanes);
    if (d < width) weigh<N, 1, false>(queries, scores + first, stride, values, length, width, d, width - d);
    first += length;
  }
}

template <std::int64_t N, class Real>
void attend_some(const Queries& queries, const KvShape& shape, std::int64_t head, std::span<const KvSegment<Real>> segments,
                 float* scores, std::int64_t stride) {
  if constexpr (N > 0) {
    if (queries.count == N) return attend<N>(queries, shape, head, segments, scores, stride);
    attend_some<N - 1>(queries, shape, head, segments, scores, stride);
  }
}

}  // namespace

template <class Real>
void kv_attention(const KvShape& shape, const float* q, std::span<const KvRow<Real>> rows, float* out, int threads) {
  THINKREC_CHECK(threads >= 1 && shape.head_width >= 1 && shape.kv_heads >= 1 && shape.heads % shape.kv_heads == 0,
                 "threads {}, {} heads, {} of keys, of {}", threads, shape.heads, shape.kv_heads, shape.head_width);
  const std::int64_t group = shape.heads / shape.kv_heads;
  std::vector<std::int64_t> begin = {0}, held;  // of each row among the tiles of one head; keys of each row
  std::int64_t longest = 0;
  for (const KvRow<Real>& row : rows) {
    std::int64_t keys = 0;
    for (const KvSegment<Real>& segment : row.segments) {
      THINKREC_CHECK(segment.length >= 0 && segment.length <= segment.capacity && segment.capacity % kKeyBlock == 0,
                     "{} of {} tokens", segment.length, segment.capacity);
      keys += segment.length;
    }
    THINKREC_CHECK(row.tokens >= 0 && row.tokens <= keys, "{} new tokens of {}", row.tokens, keys);
    held.push_back(keys);
    longest = std::max(longest, keys);
    begin.push_back(begin.back() + (row.tokens * group + kQueries - 1) / kQueries);
  }
  const std::int64_t stride = (longest / kKeyBlock + 2) * kKeyBlock, tiles = begin.back();
  std::vector<float> scores(static_cast<std::size_t>(threads * kQueries * stride));
  // By heads of keys, so that rows which share a prefix read its keys one after another.
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, 1)
  for (std::int64_t work = 0; work < tiles * shape.kv_heads; ++work) {
    const std::int64_t head = work / tiles, tile = work % tiles;
    const auto r = static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), tile) - begin.begin() - 1);
    const KvRow<Real>& row = rows[r];
    Queries queries;
    const std::int64_t from = (tile - begin[r]) * kQueries, to = std::min(row.tokens * group, from + kQueries);
    for (std::int64_t i = from; i < to; ++i, ++queries.count) {
      const std::int64_t token = i / group,
                         place = ((row.begin + token) * shape.heads + head * group + i % group) * shape.head_width;
      queries.q[queries.count] = q + place;
      queries.out[queries.count] = out + place;
      queries.seen[queries.count] = held[r] - row.tokens + token + 1;
    }
    attend_some<kQueries>(queries, shape, head, row.segments, scores.data() + omp_get_thread_num() * kQueries * stride, stride);
  }
}

template void kv_attention(const KvShape&, const float*, std::span<const KvRow<float>>, float*, int);
template void kv_attention(const KvShape&, const float*, std::span<const KvRow<Bfloat16>>, float*, int);

}  // namespace thinkrec::kernels
