#include <algorithm>
#include <vector>

#include "core/error.h"
#include "kernels/linear.h"
#include "kernels/simd.h"

namespace thinkrec::kernels {
namespace {

using simd::Vec;

// Sums of a tile stay in registers: 32 of them with AVX-512, 16 without.
constexpr std::int64_t kTokens = simd::kLanes == 16 ? 6 : 3;
constexpr std::int64_t kOuts = simd::kLanes == 16 ? 4 : 3;

template <std::int64_t T, std::int64_t O>
void multiply_tile(const float* x, const float* weights, std::int64_t width, float* result, std::int64_t stride) {
  Vec sums[T][O] = {};
  simd::for_lanes(0, width, [&](std::int64_t i, std::int64_t count, auto whole) __attribute__((always_inline)) {
    Vec row[O];
#pragma GCC unroll 4
    for (std::int64_t o = 0; o < O; ++o) row[o] = simd::load_lanes<whole>(weights + o * width + i, count);
#pragma GCC unroll 6
    for (std::int64_t t = 0; t < T; ++t) {
      const Vec value = simd::load_lanes<whole>(x + t * width + i, count);
#pragma GCC unroll 4
      for (std::int64_t o = 0; o < O; ++o) sums[t][o] += value * row[o];
    }
  });
#pragma GCC unroll 6
  for (std::int64_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (std::int64_t o = 0; o < O; ++o) result[t * stride + o] = simd::sum(sums[t][o]);
  }
}

/// The tokens that are left when whole tiles are done: T of them, or fewer.
template <std::int64_t T, std::int64_t O>
void multiply_rest(const float* x, std::int64_t tokens, const float* weights, std::int64_t width, float* result,
                   std::int64_t stride) {
  if constexpr (T > 0) {
    if (tokens == T) return multiply_tile<T, O>(x, weights, width, result, stride);
    multiply_rest<T - 1, O>(x, tokens, weights, width, result, stride);
  }
}

template <std::int64_t O>
void multiply_outs(const float* x, std::int64_t tokens, const LinearProduct& product, std::int64_t width, std::int64_t out) {
  const float* weights = product.weights + out * width;
  std::int64_t t = 0;
  for (; t + kTokens <= tokens; t += kTokens)
    multiply_tile<kTokens, O>(x + t * width, weights, width, product.result + t * product.out + out, product.out);
  multiply_rest<kTokens - 1, O>(x + t * width, tokens - t, weights, width, product.result + t * product.out + out, product.out);
}

}  // namespace

void linear(const float* x, std::int64_t tokens, std::int64_t width, std::span<const LinearProduct> products, int threads) {
  THINKREC_CHECK(tokens >= 0 && width >= 1 && threads >= 1, "tokens {}, width {}, threads {}", tokens, width, threads);
  std::vector<std::int64_t> begin = {0};  // of each matrix among all groups of rows
  for (const LinearProduct& product : products) {
    THINKREC_CHECK(product.out >= 1, "out {}", product.out);
    begin.push_back(begin.back() + (product.out + kOuts - 1) / kOuts);
  }
  if (tokens == 0) return;
  // Runs of groups are dealt out as threads become free: another process may hold one up.
  const std::int64_t run = std::max<std::int64_t>(1, begin.back() / (threads * 6));
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, run)
  for (std::int64_t group = 0; group < begin.back(); ++group) {
    const auto which = static_cast<std::size_t>(std::upper_bound(begin.begin(), begin.end(), group) - begin.begin() - 1);
    const LinearProduct& product = products[which];
    std::int64_t out = (group - begin[which]) * kOuts;
    if (out + kOuts <= product.out) {
      multiply_outs<kOuts>(x, tokens, product, width, out);
    } else {
      for (; out < product.out; ++out) multiply_outs<1>(x, tokens, product, width, out);
    }
  }
}

}  // namespace thinkrec::kernels
