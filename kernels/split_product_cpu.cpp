#include <omp.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "kernels/amx.h"
#include "kernels/avx512.h"
#include "kernels/simd.h"
#include "kernels/split_product.h"

namespace thinkrec::kernels {
namespace {

void check(const Product& product, int parts, int threads) {
  check_product(product);
  THINKREC_CHECK(threads >= 1 && (parts == 2 || parts == 3), "{} threads, {} parts", threads, parts);
  THINKREC_CHECK(have_split_products(), "this build or machine has no tiles");
}

}  // namespace

#if THINKREC_AMX_BF16
namespace {

using avx512::lanes;
using avx512::prefetch;
using avx512::prefetch_to_write;
using simd::whole;

// A tile is 16 rows of 64 bytes. Of x it holds 16 rows times 32 columns; of the other factor 32 rows in pairs times 16 columns. What lies
// together: the parts of one tile, and of a strip of 16 rows or columns all tiles of a block of the inner dimension. Sums rest in the result
// between blocks. The second cache holds a pair of strips of rows and kStrips strips of columns: 1 MB.
constexpr std::int64_t kSide = 16, kDepth = 32;
constexpr std::int64_t kTile = kSide * kDepth;  // values
constexpr std::int64_t kPair = 2;               // strips that are multiplied at once
constexpr std::int64_t kBlock = 24 * kDepth, kStrips = 12;

std::int64_t strips(std::int64_t size) { return whole(size, kPair * kSide) * kPair; }
std::int64_t strip_values(const Product& product, int parts) { return whole(std::min(product.inner, kBlock), kDepth) * parts * kTile; }

typedef std::uint16_t Half __attribute__((vector_size(32)));

/// 32 values as bf16 parts, in order.
template <int kParts>
void cut(__m512 first, __m512 second, __m512i (&parts)[kParts]) {
  for (int part = 0; part < kParts; ++part) {
    parts[part] = std::bit_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
    if (part + 1 == kParts) break;
    Half halves[2];
    std::memcpy(halves, &parts[part], sizeof halves);
    first -= std::bit_cast<__m512>(__builtin_convertvector(halves[0], simd::VecBits) << 16);
    second -= std::bit_cast<__m512>(__builtin_convertvector(halves[1], simd::VecBits) << 16);
  }
}

/// A matrix [rows, columns] of a product, and the block [begin, end) of its inner dimension.
struct Factor {
  const float* values;
  std::int64_t rows, columns, begin, end;
};

/// Rows [row, row + 16) of x as tiles with their parts.
template <int kParts>
void pack_rows(const Factor& x, std::int64_t row, std::uint16_t* to) {
  for (std::int64_t k = x.begin; k < x.end; k += kDepth, to += kParts * kTile) {
    const __mmask16 low = lanes(x.end - k), high = lanes(x.end - k - 16);
    for (std::int64_t r = 0; r < kSide; ++r) {
      __m512i parts[kParts] = {};
      if (row + r < x.rows) {
        const float* from = x.values + (row + r) * x.columns + k;
        cut<kParts>(_mm512_maskz_loadu_ps(low, from), _mm512_maskz_loadu_ps(high, from + 16), parts);
      }
      for (int part = 0; part < kParts; ++part) _mm512_store_si512(to + part * kTile + r * kDepth, parts[part]);
    }
  }
}

/// Columns [out, out + 16) of the other factor as tiles with their parts, where it lies as w[outs, inner].
template <int kParts>
void pack_transposed(const Factor& w, std::int64_t out, std::uint16_t* to) {
  for (std::int64_t k = w.begin; k < w.end; k += kDepth, to += kParts * kTile) {
    const __mmask16 low = lanes(w.end - k), high = lanes(w.end - k - 16);
    __m512i pairs[kParts][kSide] = {};
    for (std::int64_t o = 0; o < kSide && out + o < w.rows; ++o) {
      const float* from = w.values + (out + o) * w.columns + k;
      __m512i parts[kParts];
      cut<kParts>(_mm512_maskz_loadu_ps(low, from), _mm512_maskz_loadu_ps(high, from + 16), parts);
      for (int part = 0; part < kParts; ++part) pairs[part][o] = parts[part];
    }
    for (int part = 0; part < kParts; ++part) {
      avx512::transpose(pairs[part]);
      for (std::int64_t pair = 0; pair < kSide; ++pair) _mm512_store_si512(to + part * kTile + pair * kDepth, pairs[part][pair]);
    }
  }
}

/// The same where it lies as w[inner, outs].
template <int kParts>
void pack_columns(const Factor& w, std::int64_t out, std::uint16_t* to) {
  const __mmask16 columns = lanes(w.columns - out);
  const __m512i interleaved = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18,
                                               2, 17, 1, 16, 0);
  for (std::int64_t k = w.begin; k < w.end; k += kDepth, to += kParts * kTile) {
    for (std::int64_t pair = 0; pair < kSide; ++pair) {
      const std::int64_t row = k + 2 * pair;
      const auto load = [&](std::int64_t at) {
        return at < w.end ? _mm512_maskz_loadu_ps(columns, w.values + at * w.columns + out) : _mm512_setzero_ps();
      };
      __m512i parts[kParts];
      cut<kParts>(load(row), load(row + 1), parts);
      for (int part = 0; part < kParts; ++part)
        _mm512_store_si512(to + part * kTile + pair * kDepth, _mm512_permutexvar_epi16(interleaved, parts[part]));
    }
  }
}

/// Two tiles into the first cache, ahead of their loads: what is loaded late stalls the tiles, most of all where another thread has half the
/// core.
void fetch(const std::uint16_t* one, const std::uint16_t* other) {
  for (std::int64_t row = 0; row < kSide; ++row) prefetch(one + row * kDepth);
  for (std::int64_t row = 0; row < kSide; ++row) prefetch(other + row * kDepth);
}

/// Where sums go: 32 columns of `rows` rows.
struct Target {
  float* values;
  std::int64_t stride, rows;
  /// Two rows' lines, of which the first cache does not know yet.
  void fetch(std::int64_t row) const {
    for (std::int64_t r = row; r < std::min(row + 2, rows); ++r) {
      prefetch_to_write(values + r * stride);
      prefetch_to_write(values + r * stride + kSide);
    }
  }
};

/// Sums of two strips of rows times two of columns over `depth` tiles; strips lie `strip` values apart. Tiles 0 to 3 sum, 4 and 5 hold rows,
/// 6 and 7 columns.
template <int kParts>
void sum_tiles(const std::uint16_t* a, const std::uint16_t* b, std::int64_t depth, std::int64_t strip, const Target& target) {
  const auto rows_part = [&](int part) {
    _tile_loadd(4, a + part * kTile, 64);
    _tile_loadd(5, a + strip + part * kTile, 64);
  };
  const auto columns_part = [&](int part) {
    _tile_loadd(6, b + part * kTile, 64);
    _tile_loadd(7, b + strip + part * kTile, 64);
  };
  const auto add = [] {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  };
  for (std::int64_t k = 0; k < depth; ++k, a += kParts * kTile, b += kParts * kTile) {
    const std::uint16_t *next_a = a + kParts * kTile, *next_b = b + kParts * kTile;
    const auto fetch_rows = [&](int part) { fetch(next_a + part * kTile, next_a + strip + part * kTile); };
    const auto fetch_columns = [&](int part) { fetch(next_b + part * kTile, next_b + strip + part * kTile); };
    target.fetch(2 * k);
    // The products of parts whose numbers add up to less than kParts, so that each is loaded as seldom as may be.
    if constexpr (kParts == 3) {
      rows_part(2);
      columns_part(0);
      add();
      fetch_rows(2);
      rows_part(1);
      add();
      fetch_columns(0);
      columns_part(1);
      add();
      fetch_rows(1);
      rows_part(0);
      add();
      fetch_columns(1);
      columns_part(2);
      add();
      fetch_columns(2);
    } else {
      rows_part(1);
      columns_part(0);
      add();
      fetch_rows(1);
      rows_part(0);
      columns_part(1);
      add();
      fetch_columns(0);
      fetch_columns(1);
    }
    columns_part(0);
    add();
    fetch_rows(0);
  }
}

/// Adds them to what result [rows, outs] holds, or sets it when they are the `first`.
template <int kParts>
void multiply(const std::uint16_t* a, const std::uint16_t* b, std::int64_t depth, std::int64_t strip, float* result, std::int64_t stride,
              std::int64_t rows, std::int64_t outs, bool first) {
  alignas(64) float part[2 * kSide][2 * kSide];  // the result where it is smaller than the tiles
  float* to = result;
  std::int64_t step = stride;
  const bool full = rows >= 2 * kSide && outs >= 2 * kSide;
  const __mmask16 columns[] = {lanes(outs), lanes(outs - kSide)};
  if (!full) {
    to = part[0];
    step = 2 * kSide;
    for (std::int64_t r = 0; r < std::min(2 * kSide, rows); ++r) {
      for (int half = 0; half < 2 && !first; ++half)
        _mm512_store_ps(part[r] + half * kSide, _mm512_maskz_loadu_ps(columns[half], result + r * stride + half * kSide));
    }
  }
  asm volatile("" ::: "memory");  // the compiler does not know that tiles read and write
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, to, step * 4);
    _tile_loadd(1, to + kSide, step * 4);
    _tile_loadd(2, to + kSide * step, step * 4);
    _tile_loadd(3, to + kSide * step + kSide, step * 4);
  }
  sum_tiles<kParts>(a, b, depth, strip, {to, step, full ? 2 * kSide : 0});
  _tile_stored(0, to, step * 4);
  _tile_stored(1, to + kSide, step * 4);
  _tile_stored(2, to + kSide * step, step * 4);
  _tile_stored(3, to + kSide * step + kSide, step * 4);
  asm volatile("" ::: "memory");
  if (full) return;
  for (std::int64_t r = 0; r < std::min(2 * kSide, rows); ++r) {
    for (int half = 0; half < 2; ++half)
      _mm512_mask_storeu_ps(result + r * stride + half * kSide, columns[half], _mm512_load_ps(part[r] + half * kSide));
  }
}

template <int kParts>
void run(const Product& product, std::uint16_t* workspace, int threads) {
  const std::int64_t rows = product.rows, inner = product.inner, outs = product.outs;
  const std::int64_t strip = strip_values(product, kParts), row_strips = strips(rows), out_strips = strips(outs);
  const std::int64_t group = std::min(kStrips, strips(whole(out_strips, threads) * kSide));
  const auto pack = product.transposed ? pack_transposed<kParts> : pack_columns<kParts>;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::uint16_t* a = workspace;
    std::uint16_t* b = a + (row_strips + omp_get_thread_num() * kStrips) * strip;
    amx::configure();
    for (std::int64_t begin = 0; begin < inner; begin += kBlock) {
      const std::int64_t end = std::min(begin + kBlock, inner), depth = whole(end - begin, kDepth);
      const Factor left = {product.x, rows, inner, begin, end};
      const Factor right = {product.w, product.transposed ? outs : inner, product.transposed ? inner : outs, begin, end};
#pragma omp for schedule(dynamic)
      for (std::int64_t s = 0; s < row_strips; ++s) pack_rows<kParts>(left, s * kSide, a + s * strip);
#pragma omp for schedule(dynamic)
      for (std::int64_t first = 0; first < out_strips; first += group) {
        const std::int64_t here = std::min(group, out_strips - first);
        for (std::int64_t s = 0; s < here; ++s) pack(right, (first + s) * kSide, b + s * strip);
        for (std::int64_t r = 0; r < row_strips; r += kPair) {
          for (std::int64_t s = 0; s < here; s += kPair) {
            const std::int64_t row = r * kSide, out = (first + s) * kSide;
            multiply<kParts>(a + r * strip, b + s * strip, depth, strip, product.result + row * outs + out, outs, rows - row, outs - out, begin == 0);
          }
        }
      }
    }
    amx::release();
  }
}

}  // namespace

bool have_split_products() { return amx::permitted(); }

std::int64_t split_product_workspace(const Product& product, int parts, int threads) {
  check(product, parts, threads);
  return (strips(product.rows) + threads * kStrips) * strip_values(product, parts);
}

void split_product(const Product& product, int parts, std::uint16_t* workspace, int threads) {
  check(product, parts, threads);
  if (product.rows == 0) return;
  parts == 3 ? run<3>(product, workspace, threads) : run<2>(product, workspace, threads);
}
#else
bool have_split_products() { return false; }
std::int64_t split_product_workspace(const Product& product, int parts, int threads) {
  check(product, parts, threads);
  return 0;
}
void split_product(const Product& product, int parts, std::uint16_t*, int threads) { check(product, parts, threads); }
#endif

}  // namespace thinkrec::kernels
