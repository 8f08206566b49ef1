#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "core/error.h"
#include "kernels/attention_plan.h"
#include "kernels/avx512.h"

// Scores lie key by key: a block's lines side by side, keys kStride apart. So a vector is one key's scores of neighbouring lines, the softmax
// needs no sum across lanes, and products write and read the scores as they lie, all sums of a tile in registers.

namespace thinkrec::kernels {
namespace {

using simd::kLanes, simd::Vec, simd::VecInt, simd::whole;

constexpr std::int64_t kVectors = 2, kColumns = kVectors * kLanes;  // of a tile
constexpr std::int64_t kStrip = kLanes == 16 ? 14 : 6;              // rows of a tile, as many as the registers hold
constexpr std::int64_t kLines = kMostSharedHeads;                   // of a block
constexpr std::int64_t kStride = kLines + 16;  // not a power of 2, else a tile's rows would share a set of the first cache
constexpr std::int64_t kPiece = 16 * kStrip;   // keys; in the backward pass their scores and gradients stay in the second cache
static_assert(kLines % kColumns == 0);

std::int64_t padded_width(const Attention& a) { return whole(a.width, kColumns) * kColumns; }

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<float[], Free>;
Memory floats(std::int64_t count) {
  auto* const memory =
      static_cast<float*>(std::aligned_alloc(64, static_cast<std::size_t>(whole(std::max<std::int64_t>(count, 1), 16)) * 64));
  if (memory == nullptr) throw std::bad_alloc();
  return Memory(memory);
}

/// result[r][c] (+)= the sum over k of x[k * kStep + r * kRow] * y[k][c], for R rows and kColumns columns. What is added to goes on as the
/// same sum, so that in how many parts it is made does not change its bits.
template <std::int64_t R, std::int64_t kStep, std::int64_t kRow>
void tile(const float* x, const float* y, std::int64_t y_stride, std::int64_t depth, float* result, std::int64_t stride,
          bool add) {
  Vec sums[R][kVectors] = {};
  if (add) {
#pragma GCC unroll 14
    for (std::int64_t r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (std::int64_t v = 0; v < kVectors; ++v) sums[r][v] = simd::load(result + r * stride + v * kLanes);
    }
  }
  for (std::int64_t k = 0; k < depth; ++k, x += kStep, y += y_stride) {
    const Vec low = simd::load(y), high = simd::load(y + kLanes);
#pragma GCC unroll 14
    for (std::int64_t r = 0; r < R; ++r) {
      const Vec value = simd::splat(x[r * kRow]);
      sums[r][0] += value * low;
      sums[r][1] += value * high;
    }
  }
#pragma GCC unroll 14
  for (std::int64_t r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (std::int64_t v = 0; v < kVectors; ++v) simd::store(result + r * stride + v * kLanes, sums[r][v]);
  }
}
template <std::int64_t kStep, std::int64_t kRow, std::int64_t R = kStrip>
void tile_of(std::int64_t rows, const float* x, const float* y, std::int64_t y_stride, std::int64_t depth, float* result,
             std::int64_t stride, bool add) {
  if constexpr (R > 0) {
    if (rows == R) return tile<R, kStep, kRow>(x, y, y_stride, depth, result, stride, add);
    tile_of<kStep, kRow, R - 1>(rows, x, y, y_stride, depth, result, stride, add);
  }
}

/// to[i * to_stride + line] = from[line * stride + i], for up to 16 lines.
void turn(const float* from, std::int64_t stride, std::int64_t lines, std::int64_t values, float* to, std::int64_t to_stride) {
#if THINKREC_AVX512
  avx512::turn(from, stride, lines, values, to, to_stride);
#else
  for (std::int64_t i = 0; i < values; ++i) {
    for (std::int64_t line = 0; line < lines; ++line) to[i * to_stride + line] = from[line * stride + i];
  }
#endif
}

/// Keys or values of all tokens as tiles read them, for one key/value head after the other.
class Packed {
 public:
  Packed(const Attention& a, const AttentionPlan& plan) : attention_(a), plan_(plan), padded_(padded_width(a)) {}

  void allocate_strips() { strips_ = floats(attention_.kv_heads * plan_.strips * strip_size()); }
  void allocate_lines() { lines_ = floats(attention_.kv_heads * plan_.tokens * padded_); }

  /// A row's keys of a head, from x [tokens, kv_heads, width], into what is allocated.
  void pack(const float* x, std::size_t row, std::int64_t kv) {
    const std::int64_t first = attention_.begin[row], end = attention_.begin[row + 1], width = attention_.width,
                       stride = attention_.kv_heads * width;
    const float* const from = x + kv * width;
    for (std::int64_t token = first; strips_ && token < end; token += kStrip) {
      turn(from + token * stride, stride, std::min(kStrip, end - token), width,
           strips_.get() + (kv * plan_.strips + plan_.first_strip[row] + (token - first) / kStrip) * strip_size(), kStrip);
    }
    for (std::int64_t token = first; lines_ && token < end; ++token) {
      float* const to = lines_.get() + (kv * plan_.tokens + token) * padded_;
      std::copy_n(from + token * stride, width, to);
      std::fill(to + width, to + padded_, 0.0f);
    }
  }

  /// [width][kStrip]
  const float* strip(std::int64_t kv, std::int64_t strip) const {
    return strips_.get() + (kv * plan_.strips + strip) * strip_size();
  }
  /// [padded]
  const float* line(std::int64_t kv, std::int64_t token) const { return lines_.get() + (kv * plan_.tokens + token) * padded_; }

 private:
  std::int64_t strip_size() const { return attention_.width * kStrip; }
  const Attention& attention_;
  const AttentionPlan& plan_;
  std::int64_t padded_;
  Memory strips_, lines_;
};

/// Lines of one block and one key/value head at a time, of the queries or of the result's gradients, as tiles read them.
class Lines {
 public:
  Lines(const Attention& a, const AttentionPlan& plan)
      : attention_(a),
        plan_(plan),
        padded_(padded_width(a)),
        lines_(floats(kLines * padded_)),
        turned_(floats(a.width * kStride)) {}

  /// Takes the lines of a block from x [queries, heads, width], times `scale`.
  void take(const AttentionBlock& block, std::int64_t kv, const float* x, float scale) {
    const std::int64_t width = attention_.width;
    for (std::int64_t i = 0; i < block.queries; ++i) {
      const float* const from = x + ((block.first + i) * attention_.heads + kv * plan_.group) * width;
      for (std::int64_t g = 0; g < plan_.group; ++g) {
        float* const to = lines_.get() + (i * plan_.group + g) * padded_;
        for (std::int64_t j = 0; j < width; ++j) to[j] = from[g * width + j] * scale;
        std::fill(to + width, to + padded_, 0.0f);
      }
    }
    const std::int64_t count = block.queries * plan_.group;
    for (std::int64_t line = 0; line < count; line += kLanes)
      turn(lines_.get() + line * padded_, padded_, std::min(kLanes, count - line), width, turned_.get() + line, kStride);
    // Lines up to the end of a tile's columns are multiplied as well.
    for (std::int64_t i = 0; i < width; ++i)
      std::fill(turned_.get() + i * kStride + count, turned_.get() + i * kStride + whole(count, kColumns) * kColumns, 0.0f);
  }

  const float* lines() const { return lines_.get(); }    ///< [lines][padded]
  const float* turned() const { return turned_.get(); }  ///< [width][kStride]

 private:
  const Attention& attention_;
  const AttentionPlan& plan_;
  std::int64_t padded_;
  Memory lines_, turned_;
};

/// How many keys each line of a block sees; behind the lines as many as the last.
struct Seen {
  alignas(64) std::int32_t of[kLines];
  std::int64_t lines;
  Seen(const AttentionPlan& plan, const AttentionBlock& block) : lines(block.queries * plan.group) {
    for (std::int64_t line = 0; line < kLines; ++line)
      of[line] = static_cast<std::int32_t>(block.seen[static_cast<std::size_t>(std::min(line, lines - 1) / plan.group)]);
  }
  /// Keys of a piece that `line` sees.
  std::int64_t within(const KeyPiece& piece, std::int64_t line) const {
    return std::clamp<std::int64_t>(of[std::min(line, kLines - 1)] - piece.before, 0, piece.count);
  }
};

/// scores [piece's keys][kStride] = keys, or values, times lines, where a line sees a key; elsewhere anything.
void score(const Attention& a, const Seen& seen, const KeyPiece& piece, const Packed& packed, std::int64_t kv, const Lines& lines,
           float* scores) {
  for (std::int64_t line = 0; line < seen.lines; line += kColumns) {
    const std::int64_t keys = seen.within(piece, line + kColumns - 1);
    for (std::int64_t key = 0; key < keys; key += kStrip) {
      tile_of<kStrip, 1>(std::min(kStrip, piece.count - key), packed.strip(kv, piece.strip + key / kStrip), lines.turned() + line,
                         kStride, a.width, scores + key * kStride + line, kStride, false);
    }
  }
}

/// sums [lines][padded] += weights^T times the piece's keys or values. The first piece of a block sets them.
void weigh(const Seen& seen, const KeyPiece& piece, const Packed& packed, std::int64_t kv, std::int64_t padded,
           const float* weights, float* sums) {
  for (std::int64_t line = 0; line < seen.lines; line += kStrip) {
    const std::int64_t count = std::min(kStrip, seen.lines - line), keys = seen.within(piece, line + count - 1);
    for (std::int64_t i = 0; keys > 0 && i < padded; i += kColumns) {
      tile_of<kStride, 1>(count, weights + line, packed.line(kv, piece.token) + i, padded, keys, sums + line * padded + i, padded,
                          piece.before > 0);
    }
  }
}

/// grad [piece's keys][padded] += weights times lines.
void spread(const Seen& seen, const KeyPiece& piece, std::int64_t padded, const float* weights, const Lines& lines, float* grad) {
  std::int64_t first = 0;  // line that sees the key
  for (std::int64_t key = 0; key < piece.count; key += kStrip) {
    while (first < seen.lines && seen.within(piece, first) <= key) ++first;
    for (std::int64_t i = 0; first < seen.lines && i < padded; i += kColumns) {
      tile_of<1, kStride>(std::min(kStrip, piece.count - key), weights + key * kStride + first,
                          lines.lines() + first * padded + i, padded, seen.lines - first, grad + key * padded + i, padded, true);
    }
  }
}

/// body(key, vector, mask) for the scores of a piece: mask is false where the line does not see the key. In rising order of keys.
template <class Body>
void each_vector(const Seen& seen, const KeyPiece& piece, std::int64_t line, const Body& body) {
  const std::int64_t all = seen.within(piece, line), some = seen.within(piece, line + kColumns - 1);
  for (std::int64_t key = 0; key < all; ++key) {
    for (std::int64_t v = 0; v < kVectors; ++v) body(key, v, VecInt{} == VecInt{});
  }
  for (std::int64_t key = all; key < some; ++key) {
    for (std::int64_t v = 0; v < kVectors; ++v) {
      VecInt limit;
      std::memcpy(&limit, seen.of + line + v * kLanes, sizeof(VecInt));
      body(key, v, limit > static_cast<std::int32_t>(piece.before + key));
    }
  }
}
/// 0 in the columns of a piece that no line of a tile's columns sees.
void clear_unseen(const Seen& seen, const KeyPiece& piece, std::int64_t line, float* scores) {
  for (std::int64_t key = seen.within(piece, line + kColumns - 1); key < piece.count; ++key) {
    for (std::int64_t v = 0; v < kVectors; ++v) simd::store(scores + key * kStride + line + v * kLanes, Vec{});
  }
}

/// scores [keys][kStride] of a block, in place: exp(s - the line's largest), 0 where a line does not see a key; their sums, and the largest.
void softmax(const AttentionBlock& block, const Seen& seen, float* scores, float* sums, float* largest) {
  const KeyPiece all{0, block.keys, 0, 0};
  for (std::int64_t line = 0; line < seen.lines; line += kColumns) {
    const auto at = [&](std::int64_t key, std::int64_t v) { return scores + key * kStride + line + v * kLanes; };
    Vec top[kVectors], sum[kVectors] = {};
    std::fill_n(top, kVectors, simd::splat(-std::numeric_limits<float>::infinity()));
    each_vector(seen, all, line, [&](std::int64_t key, std::int64_t v, VecInt mask) {
      const Vec larger = simd::max(top[v], simd::load(at(key, v)));
      top[v] = mask ? larger : top[v];
    });
    each_vector(seen, all, line, [&](std::int64_t key, std::int64_t v, VecInt mask) {
      const Vec weight = simd::exp(simd::load(at(key, v)) - top[v]);
      const Vec kept = mask ? weight : Vec{};
      simd::store(at(key, v), kept);
      sum[v] += kept;
    });
    clear_unseen(seen, all, line, scores);
    for (std::int64_t v = 0; v < kVectors; ++v) {
      simd::store(sums + line + v * kLanes, sum[v]);
      simd::store(largest + line + v * kLanes, top[v]);
    }
  }
}

/// scores and grads [piece's keys][kStride], in place: p = exp(s - log_sum_exp) and p (dp - delta), 0 where a line does not see a key.
void softmax_backward(const Seen& seen, const KeyPiece& piece, const float* log_sum_exp, const float* delta, float* scores,
                      float* grads) {
  for (std::int64_t line = 0; line < seen.lines; line += kColumns) {
    each_vector(seen, piece, line, [&](std::int64_t key, std::int64_t v, VecInt mask) {
      const std::int64_t at = key * kStride + line + v * kLanes;
      const Vec p = simd::exp(simd::load(scores + at) - simd::load(log_sum_exp + line + v * kLanes));
      const Vec ds = p * (simd::load(grads + at) - simd::load(delta + line + v * kLanes));
      simd::store(scores + at, mask ? p : Vec{});
      simd::store(grads + at, mask ? ds : Vec{});
    });
    clear_unseen(seen, piece, line, scores);
    clear_unseen(seen, piece, line, grads);
  }
}

float dot(const float* a, const float* b, std::int64_t width) {
  Vec sums = {};
  simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto all) {
    sums += simd::load_lanes<all>(a + i, count) * simd::load_lanes<all>(b + i, count);
  });
  return simd::sum(sums);
}

float scale_of(const Attention& a) { return 1 / std::sqrt(static_cast<float>(a.width)); }

/// body(line, query, head) for the lines of a block.
template <class Body>
void each_line(const AttentionPlan& plan, const AttentionBlock& block, std::int64_t kv, const Body& body) {
  for (std::int64_t i = 0; i < block.queries; ++i) {
    for (std::int64_t g = 0; g < plan.group; ++g) body(i * plan.group + g, block.first + i, kv * plan.group + g);
  }
}

std::int64_t pack_tasks(const Attention& a) { return static_cast<std::int64_t>(a.reach.size()) * a.kv_heads; }

/// The work of all threads of the region that calls it, which go on when everything is packed.
void pack(const Attention& a, Packed& keys, Packed& values) {
#pragma omp for schedule(dynamic)
  for (std::int64_t task = 0; task < pack_tasks(a); ++task) {
    const auto row = static_cast<std::size_t>(task / a.kv_heads);
    keys.pack(a.k, row, task % a.kv_heads);
    values.pack(a.v, row, task % a.kv_heads);
  }
}

/// A thread's buffers of the pass forward.
struct Forward {
  Lines queries;
  Memory scores, sums, weights, largest;
  Forward(const Attention& a, const AttentionPlan& plan)
      : queries(a, plan),
        scores(floats(plan.most_keys * kStride)),
        sums(floats(kLines * padded_width(a))),
        weights(floats(kLines)),
        largest(floats(kLines)) {}
};

/// And of that back.
struct Backward {
  Lines queries, given;
  Memory scores, grads, sums, log_sum_exp, delta, grad_k, grad_v;
  Backward(const Attention& a, const AttentionPlan& plan)
      : queries(a, plan),
        given(a, plan),
        scores(floats(kPiece * kStride)),
        grads(floats(kPiece * kStride)),
        sums(floats(kLines * padded_width(a))),
        log_sum_exp(floats(kLines)),
        delta(floats(kLines)),
        grad_k(floats(plan.most_tokens * padded_width(a))),
        grad_v(floats(plan.most_tokens * padded_width(a))) {}
};

/// Each thread's, made before the threads begin, which could not say that memory has run out.
template <class Buffers>
std::vector<Buffers> buffers_of(const Attention& a, const AttentionPlan& plan, int threads) {
  std::vector<Buffers> all;
  for (int thread = 0; thread < threads; ++thread) all.emplace_back(a, plan);
  return all;
}

int threads_for(std::int64_t tasks, int threads) {
  THINKREC_CHECK(threads >= 1, "{} threads", threads);
  return static_cast<int>(std::clamp<std::int64_t>(tasks, 1, threads));
}

}  // namespace

void attention(const Attention& a, float* out, float* log_sum_exp, int threads) {
  const AttentionPlan plan = plan_attention(a, kLines, kPiece, kStrip);
  std::vector<const AttentionBlock*> blocks;
  for (const AttentionTree& tree : plan.trees) {
    for (const AttentionBlock& block : tree.blocks) blocks.push_back(&block);
  }
  const std::int64_t padded = padded_width(a);
  const std::int64_t tasks = static_cast<std::int64_t>(blocks.size()) * a.kv_heads;
  const int used = threads_for(std::max(pack_tasks(a), tasks), threads);
  Packed keys(a, plan), values(a, plan);
  keys.allocate_strips();
  values.allocate_lines();
  auto buffers = buffers_of<Forward>(a, plan, used);
#pragma omp parallel num_threads(used) if (used > 1)
  {
    Forward& own = buffers[static_cast<std::size_t>(omp_get_thread_num())];
    Lines& queries = own.queries;
    const Memory &scores = own.scores, &sums = own.sums, &weights = own.weights, &largest = own.largest;
    pack(a, keys, values);
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < tasks; ++task) {
      const AttentionBlock& block = *blocks[static_cast<std::size_t>(task / a.kv_heads)];
      const std::int64_t kv = task % a.kv_heads;
      const Seen seen(plan, block);
      queries.take(block, kv, a.q, scale_of(a));
      for (const KeyPiece& piece : block.pieces) score(a, seen, piece, keys, kv, queries, scores.get() + piece.before * kStride);
      softmax(block, seen, scores.get(), weights.get(), largest.get());
      for (const KeyPiece& piece : block.pieces)
        weigh(seen, piece, values, kv, padded, scores.get() + piece.before * kStride, sums.get());
      each_line(plan, block, kv, [&](std::int64_t line, std::int64_t query, std::int64_t head) {
        const float weight = weights.get()[line], share = 1 / weight;
        const float* const from = sums.get() + line * padded;
        float* const to = out + (query * a.heads + head) * a.width;
        for (std::int64_t i = 0; i < a.width; ++i) to[i] = from[i] * share;
        log_sum_exp[head * a.queries + query] = largest.get()[line] + std::log(weight);
      });
    }
  }
}

void attention_backward(const Attention& a, const float* out, const float* log_sum_exp, const float* grad_out,
                        const AttentionGradients& grad, int threads) {
  const AttentionPlan plan = plan_attention(a, kLines, kPiece, kStrip);
  const std::int64_t padded = padded_width(a);
  const std::int64_t tasks = static_cast<std::int64_t>(plan.trees.size()) * a.kv_heads;
  const int used = threads_for(pack_tasks(a), threads);  // there are as many rows as trees, or more
  const float scale = scale_of(a);
  Packed keys(a, plan), values(a, plan);
  keys.allocate_strips();
  keys.allocate_lines();
  values.allocate_strips();
  auto buffers = buffers_of<Backward>(a, plan, used);
#pragma omp parallel num_threads(used) if (used > 1)
  {
    Backward& own = buffers[static_cast<std::size_t>(omp_get_thread_num())];
    Lines &queries = own.queries, &given = own.given;
    const Memory &scores = own.scores, &grads = own.grads, &sums = own.sums, &lse = own.log_sum_exp, &delta = own.delta,
                 &grad_k = own.grad_k, &grad_v = own.grad_v;
    pack(a, keys, values);
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < tasks; ++task) {
      const AttentionTree& tree = plan.trees[static_cast<std::size_t>(task / a.kv_heads)];
      const std::int64_t kv = task % a.kv_heads;
      std::fill_n(grad_k.get(), tree.count * padded, 0.0f);
      std::fill_n(grad_v.get(), tree.count * padded, 0.0f);
      for (const AttentionBlock& block : tree.blocks) {
        const Seen seen(plan, block);
        queries.take(block, kv, a.q, scale);
        given.take(block, kv, grad_out, 1);
        std::fill_n(lse.get(), kLines, 0.0f);
        std::fill_n(delta.get(), kLines, 0.0f);
        each_line(plan, block, kv, [&](std::int64_t line, std::int64_t query, std::int64_t head) {
          const std::int64_t at = (query * a.heads + head) * a.width;
          lse.get()[line] = log_sum_exp[head * a.queries + query];
          delta.get()[line] = dot(out + at, grad_out + at, a.width);
        });
        for (const KeyPiece& piece : block.pieces) {
          const std::int64_t at = (piece.token - tree.token) * padded;
          score(a, seen, piece, keys, kv, queries, scores.get());
          score(a, seen, piece, values, kv, given, grads.get());
          softmax_backward(seen, piece, lse.get(), delta.get(), scores.get(), grads.get());
          spread(seen, piece, padded, scores.get(), given, grad_v.get() + at);
          spread(seen, piece, padded, grads.get(), queries, grad_k.get() + at);
          weigh(seen, piece, keys, kv, padded, grads.get(), sums.get());
        }
        each_line(plan, block, kv, [&](std::int64_t line, std::int64_t query, std::int64_t head) {
          const float* const from = sums.get() + line * padded;
          float* const to = grad.q + (query * a.heads + head) * a.width;
          for (std::int64_t i = 0; i < a.width; ++i) to[i] = from[i] * scale;
        });
      }
      for (std::int64_t token = 0; token < tree.count; ++token) {
        const std::int64_t at = ((tree.token + token) * a.kv_heads + kv) * a.width;
        std::copy_n(grad_k.get() + token * padded, a.width, grad.k + at);
        std::copy_n(grad_v.get() + token * padded, a.width, grad.v + at);
      }
    }
  }
}

}  // namespace thinkrec::kernels
