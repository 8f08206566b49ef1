#include <algorithm>

#include "core/error.h"
#include "kernels/avx512.h"
#include "kernels/fp32_product.h"

namespace thinkrec::kernels {
namespace {

void check(const Product& product, int threads) {
  check_product(product);
  THINKREC_CHECK(threads >= 1, "{} threads", threads);
  THINKREC_CHECK(have_fp32_products(), "this build has no AVX-512");
}

}  // namespace

#if THINKREC_AVX512
namespace {

using simd::whole;

// Sums of kRows rows times kColumns columns stay in registers. Of a block of the inner dimension, those rows lie in the first cache while a
// group of panels of the other factor, each kColumns wide, passes from the second: 576 KB. Both lie k by k, so that each is read as one stream.
constexpr std::int64_t kLane = 16, kVectors = 2, kColumns = kVectors * kLane, kRows = 14;
constexpr std::int64_t kBlock = 384, kPanel = kBlock * kColumns, kStrip = kBlock * kRows;  // floats
constexpr std::int64_t kGroup = 12;                                                        // panels
constexpr std::int64_t kTaskRows = 4 * kRows;                     // which a thread takes at once

/// Blocks of nearly the same depth.
std::int64_t block_depth(std::int64_t inner) { return whole(whole(inner, whole(inner, kBlock)), kLane) * kLane; }

/// A block [begin, begin + depth) of the inner dimension.
struct Block {
  std::int64_t begin, depth;
};

/// Up to kRows rows of x.
void pack_rows(const Product& p, const Block& block, std::int64_t row, float* to) {
  const std::int64_t rows = std::min(kRows, p.rows - row);
  avx512::turn(p.x + row * p.inner + block.begin, p.inner, rows, block.depth, to, rows);
}

/// Columns [out, out + kColumns) of the other factor; columns that it does not have are 0.
void pack_transposed(const Product& p, const Block& block, std::int64_t out, float* to) {
  for (std::int64_t k = 0; k < block.depth; k += kLane) {
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const std::int64_t column = out + v * kLane;
      __m512i values[kLane];
      avx512::load_turned(p.w + column * p.inner + block.begin + k, p.inner, p.outs - column, block.depth - k, values);
      for (std::int64_t i = 0; i < std::min(kLane, block.depth - k); ++i)
        _mm512_store_si512(to + (k + i) * kColumns + v * kLane, values[i]);
    }
  }
}
void pack_columns(const Product& p, const Block& block, std::int64_t out, float* to) {
  for (std::int64_t k = 0; k < block.depth; ++k) {
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const std::int64_t column = out + v * kLane;
      const __m512 line = column < p.outs ? _mm512_maskz_loadu_ps(avx512::lanes(p.outs - column), p.w + (block.begin + k) * p.outs + column) : __m512{};
      _mm512_store_ps(to + k * kColumns + v * kLane, line);
    }
  }
}

/// Sums of R packed rows times a panel; they are added to what the result holds unless they are the `first`.
template <std::int64_t R>
void multiply(const float* x, const float* panel, std::int64_t depth, float* result, std::int64_t stride, bool first) {
  for (std::int64_t r = 0; r < R; ++r) {
    for (std::int64_t v = 0; v < kVectors; ++v) avx512::prefetch_to_write(result + r * stride + v * kLane);
  }
  __m512 sums[R][kVectors] = {};
  for (std::int64_t k = 0; k < depth; ++k, x += R, panel += kColumns) {
    const __m512 low = _mm512_load_ps(panel), high = _mm512_load_ps(panel + kLane);
#pragma GCC unroll 14
    for (std::int64_t r = 0; r < R; ++r) {
      const __m512 value = _mm512_set1_ps(x[r]);
      sums[r][0] = _mm512_fmadd_ps(value, low, sums[r][0]);
      sums[r][1] = _mm512_fmadd_ps(value, high, sums[r][1]);
    }
  }
#pragma GCC unroll 14
  for (std::int64_t r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (std::int64_t v = 0; v < kVectors; ++v) {
      float* to = result + r * stride + v * kLane;
      _mm512_storeu_ps(to, first ? sums[r][v] : _mm512_add_ps(_mm512_loadu_ps(to), sums[r][v]));
    }
  }
}

template <std::int64_t R>
void multiply_rows(std::int64_t rows, const float* x, const float* panel, std::int64_t depth, float* result, std::int64_t stride, bool first) {
  if constexpr (R > 0) {
    if (rows == R) return multiply<R>(x, panel, depth, result, stride, first);
    multiply_rows<R - 1>(rows, x, panel, depth, result, stride, first);
  }
}

/// Up to kRows rows times a panel whose columns begin with `out`.
void multiply_panel(const Product& p, const Block& block, std::int64_t row, std::int64_t out, const float* x, const float* panel) {
  const std::int64_t rows = std::min(kRows, p.rows - row), outs = std::min(kColumns, p.outs - out);
  float* result = p.result + row * p.outs + out;
  if (outs == kColumns) return multiply_rows<kRows>(rows, x, panel, block.depth, result, p.outs, block.begin == 0);
  alignas(64) float part[kRows * kColumns];
  multiply_rows<kRows>(rows, x, panel, block.depth, part, kColumns, true);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < outs; ++o) {
      float& to = result[r * p.outs + o];
      to = block.begin == 0 ? part[r * kColumns + o] : to + part[r * kColumns + o];
    }
  }
}

/// A share of the rows that come next, into the second cache while the present ones are multiplied.
void fetch(const float* rows, std::int64_t depth, std::int64_t share, std::int64_t shares) {
  const std::int64_t lines = depth * kRows / kLane;
  for (std::int64_t line = share * lines / shares; line < (share + 1) * lines / shares; ++line)
    avx512::prefetch_second(rows + line * kLane);
}

/// Rows [row, end), packed, times `panels` panels whose columns begin with `out`.
void multiply_task(const Product& p, const Block& block, std::int64_t row, std::int64_t end, std::int64_t out,
                   std::int64_t panels, const float* packed_rows, const float* packed) {
  for (; row < end; row += kRows, packed_rows += kStrip) {
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      fetch(packed_rows + kStrip, block.depth, panel, panels);
      multiply_panel(p, block, row, out + panel * kColumns, packed_rows, packed + panel * kPanel);
    }
  }
}

/// Panels that are packed before all threads multiply with them: a group for each thread, as far as there are.
std::int64_t packed_panels(const Product& p, int threads) { return std::min(whole(p.outs, kColumns), threads * kGroup); }

}  // namespace

bool have_fp32_products() { return true; }

std::int64_t fp32_product_workspace(const Product& product, int threads) {
  check(product, threads);
  return packed_panels(product, threads) * kPanel + whole(product.rows, kRows) * kStrip;
}

void fp32_product(const Product& product, float* workspace, int threads) {
  check(product, threads);
  const std::int64_t panels = whole(product.outs, kColumns), chunk = packed_panels(product, threads), depth = block_depth(product.inner);
  const std::int64_t strips = whole(product.rows, kRows), tasks = whole(product.rows, kTaskRows);
  float* const rows = workspace + chunk * kPanel;
  const auto pack = product.transposed ? pack_transposed : pack_columns;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    for (std::int64_t begin = 0; begin < product.inner; begin += depth) {
      const Block block = {begin, std::min(depth, product.inner - begin)};
#pragma omp for schedule(dynamic) nowait
      for (std::int64_t strip = 0; strip < strips; ++strip) pack_rows(product, block, strip * kRows, rows + strip * kStrip);
      for (std::int64_t first = 0; first < panels; first += chunk) {
        // Few rows: smaller groups, so that every thread has some.
        const std::int64_t here = std::min(chunk, panels - first), fewest = whole(here, kGroup);
        const std::int64_t groups =
            threads == 1 ? fewest : std::clamp(whole(2 * threads, std::max<std::int64_t>(tasks, 1)), fewest, here);
        const std::int64_t size = whole(here, groups);
#pragma omp for schedule(dynamic)
        for (std::int64_t panel = 0; panel < here; ++panel) pack(product, block, (first + panel) * kColumns, workspace + panel * kPanel);
#pragma omp for schedule(dynamic)
        for (std::int64_t task = 0; task < whole(here, size) * tasks; ++task) {
          const std::int64_t panel = task / tasks * size, row = task % tasks * kTaskRows;
          multiply_task(product, block, row, std::min(row + kTaskRows, product.rows), (first + panel) * kColumns,
                        std::min(size, here - panel), rows + task % tasks * kTaskRows * kBlock, workspace + panel * kPanel);
        }
      }
    }
  }
}
#else
bool have_fp32_products() { return false; }
std::int64_t fp32_product_workspace(const Product& product, int threads) {
  check(product, threads);
  return 0;
}
void fp32_product(const Product& product, float*, int threads) { check(product, threads); }
#endif

}  // namespace thinkrec::kernels
