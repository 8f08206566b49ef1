#pragma once
// Vectors of floats for the CPU kernels: the compiler's vector extension in the machine's own width, so that every element, tails
// included, goes through the same instructions whatever its place in the array and whatever the optimizer thinks of a loop.
// For the .cpp files of this folder only.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#endif

namespace thinkrec::kernels::simd {

#if defined(__AVX512F__) && defined(__AVX512DQ__)
inline constexpr std::int64_t kBytes = 64;
#elif defined(__AVX__)
inline constexpr std::int64_t kBytes = 32;
#else
inline constexpr std::int64_t kBytes = 16;
#endif
inline constexpr std::int64_t kLanes = kBytes / 4;

typedef float Vec __attribute__((vector_size(kBytes)));
typedef std::int32_t VecInt __attribute__((vector_size(kBytes)));
typedef std::uint32_t VecBits __attribute__((vector_size(kBytes)));

/// Steps that hold `size`, the last perhaps in part.
constexpr std::int64_t whole(std::int64_t size, std::int64_t step) { return (size + step - 1) / step; }

#define THINKREC_INLINE [[gnu::always_inline]] inline

THINKREC_INLINE Vec splat(float value) { return value - Vec{}; }  // x - 0 is x, for -0 and NaN as well

THINKREC_INLINE Vec load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof(Vec));
  return v;
}
THINKREC_INLINE void store(float* to, Vec v) { std::memcpy(to, &v, sizeof(Vec)); }

#if defined(__AVX512F__) && defined(__AVX512DQ__)
THINKREC_INLINE __mmask16 first_lanes(std::int64_t count) { return static_cast<__mmask16>((1U << count) - 1U); }
/// The first `count` < kLanes lanes; the others are 0.
THINKREC_INLINE Vec load_part(const float* from, std::int64_t count) {
  return std::bit_cast<Vec>(_mm512_maskz_loadu_ps(first_lanes(count), from));
}
THINKREC_INLINE void store_part(float* to, Vec v, std::int64_t count) {
  _mm512_mask_storeu_ps(to, first_lanes(count), std::bit_cast<__m512>(v));
}
/// v with `value` in the lanes from `count` on.
THINKREC_INLINE Vec keep_lanes(Vec v, float value, std::int64_t count) {
  return std::bit_cast<Vec>(_mm512_mask_mov_ps(_mm512_set1_ps(value), first_lanes(count), std::bit_cast<__m512>(v)));
}
#else
/// The first `count` < kLanes lanes; the others are 0.
THINKREC_INLINE Vec load_part(const float* from, std::int64_t count) {
  float lane[kLanes] = {};
  std::memcpy(lane, from, static_cast<std::size_t>(count) * sizeof(float));
  return load(lane);
}
THINKREC_INLINE void store_part(float* to, Vec v, std::int64_t count) {
  float lane[kLanes];
  store(lane, v);
  std::memcpy(to, lane, static_cast<std::size_t>(count) * sizeof(float));
}

/// v with `value` in the lanes from `count` on.
THINKREC_INLINE Vec keep_lanes(Vec v, float value, std::int64_t count) {
  float lane[kLanes];
  store(lane, v);
  std::fill(lane + count, lane + kLanes, value);
  return load(lane);
}
#endif

template <std::size_t kDistance, std::size_t... kLane>
THINKREC_INLINE Vec exchange(Vec v, std::index_sequence<kLane...>) {
  return __builtin_shufflevector(v, v, static_cast<int>(kLane ^ kDistance)...);
}

/// Sum of the lanes, always in the same order: each lane with the one `kDistance` away, at halving distances.
template <std::size_t kDistance = kLanes / 2>
THINKREC_INLINE float sum(Vec v) {
  v += exchange<kDistance>(v, std::make_index_sequence<kLanes>{});
  if constexpr (kDistance == 1) {
    return v[0];
  } else {
    return sum<kDistance / 2>(v);
  }
}

THINKREC_INLINE Vec max(Vec a, Vec b) { return a < b ? b : a; }
THINKREC_INLINE float max(Vec v) {
  float top = v[0];
  for (std::int64_t i = 1; i < kLanes; ++i) top = top < v[i] ? v[i] : top;
  return top;
}

THINKREC_INLINE Vec sqrt(Vec v) {
  float lane[kLanes];
  store(lane, v);
  for (std::int64_t i = 0; i < kLanes; ++i) lane[i] = __builtin_sqrtf(lane[i]);
  return load(lane);
}

/// Calls body(index, count) over [begin, end) in steps of kLanes; count is kLanes except perhaps in the last call. `body` is a
/// generic lambda taking std::true_type for whole vectors and std::false_type for the tail.
template <class Body>
THINKREC_INLINE void for_lanes(std::int64_t begin, std::int64_t end, Body&& body) {
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) body(i, kLanes, std::true_type{});
  if (i < end) body(i, end - i, std::false_type{});
}
template <bool kWhole>
THINKREC_INLINE Vec load_lanes(const float* from, std::int64_t count) {
  if constexpr (kWhole) return load(from);
  return load_part(from, count);
}
template <bool kWhole>
THINKREC_INLINE void store_lanes(float* to, Vec v, std::int64_t count) {
  if constexpr (kWhole) return store(to, v);
  store_part(to, v, count);
}

/// exp(x) to within 1 ulp; 0 and infinity beyond the range of float, NaN for NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts, the first short enough for n times it to be exact; exp(r) = 1 + r +
/// r^2 p(r), p interpolating at Chebyshev nodes with an error of 2e-10 in exp(r); 2^n in two factors, so that results below the
/// normal range come out rounded once.
THINKREC_INLINE Vec exp(Vec x) {
  const Vec low = splat(-104.0f), high = splat(89.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, found in the low bits
  const Vec shifted = x * 1.44269504088896341f + magic;
  const Vec n = shifted - magic;
  const Vec r = (x - n * 0.693145751953125f) - n * 1.42860677e-6f;
  Vec p = splat(1.9890991e-4f);
  p = p * r + 1.393365e-3f;
  p = p * r + 8.3333105e-3f;
  p = p * r + 4.1666467e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  const Vec value = (p * (r * r) + r) + 1.0f;
  const VecInt exponent = std::bit_cast<VecInt>(shifted) - std::bit_cast<VecInt>(magic);
  const VecInt half = exponent >> 1;
  const VecBits first = (std::bit_cast<VecBits>(half) + 127u) << 23;
  const VecBits second = (std::bit_cast<VecBits>(exponent) - std::bit_cast<VecBits>(half) + 127u) << 23;
  return value * std::bit_cast<Vec>(first) * std::bit_cast<Vec>(second);
}

}  // namespace thinkrec::kernels::simd
