#pragma once
// The integer sums of linear_int8, in what instructions the machine has: AMX tiles, VNNI, AVX2 or none of them. For linear_int8_cpu.cpp only.

#include <bit>
#include <cstring>

#include "kernels/linear_int8.h"
#include "kernels/simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace thinkrec::kernels::int8 {

/// 16 sums, one a row of W of a group: as many vectors of the machine's width as that takes.
inline constexpr std::int64_t kParts = kInt8Outs / simd::kLanes;
struct Sums {
  simd::VecInt part[kParts] = {};
};

inline std::int32_t four_codes(const std::int8_t* x) {
  std::int32_t word;
  std::memcpy(&word, x, sizeof word);
  return word;
}

/// Adds to each sum four columns: codes[kInt8Outs, 4] (each + 128) times four integers of x. Where `kRaw` the + 128 is still in the sums.
#if (defined(__AVX512VNNI__) && defined(__AVX512DQ__)) || (defined(__AVXVNNI__) && !defined(__AVX512F__))
inline constexpr bool kRaw = true;
THINKREC_INLINE void add_four(Sums& sums, const std::uint8_t* codes, const std::int8_t* x) {
  for (std::int64_t p = 0; p < kParts; ++p) {
    simd::VecInt w;
    std::memcpy(&w, codes + p * simd::kBytes, sizeof w);
#if defined(__AVX512VNNI__)
    sums.part[p] = std::bit_cast<simd::VecInt>(
        _mm512_dpbusd_epi32(std::bit_cast<__m512i>(sums.part[p]), std::bit_cast<__m512i>(w), _mm512_set1_epi32(four_codes(x))));
#else
    sums.part[p] = std::bit_cast<simd::VecInt>(_mm256_dpbusd_avx_epi32(
        std::bit_cast<__m256i>(sums.part[p]), std::bit_cast<__m256i>(w), _mm256_set1_epi32(four_codes(x))));
#endif
  }
}
#elif defined(__AVX2__)
inline constexpr bool kRaw = false;
THINKREC_INLINE void add_four(Sums& sums, const std::uint8_t* codes, const std::int8_t* x) {
  constexpr std::int64_t kHalves = kInt8Outs * 4 / 32;
  const __m256i word = _mm256_set1_epi32(four_codes(x));
  std::int32_t lanes[kInt8Outs];
  std::memcpy(lanes, sums.part, sizeof lanes);
  for (std::int64_t p = 0; p < kHalves; ++p) {
    __m256i w = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + p * 32)), _mm256_set1_epi8(-128));
    // |w| times x with w's sign: two products of at most 127 * 127 fit 16 bits.
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(word, w));
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    const __m256i before = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + p * 8));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + p * 8), _mm256_add_epi32(before, fours));
  }
  std::memcpy(sums.part, lanes, sizeof lanes);
}
#else
inline constexpr bool kRaw = false;
THINKREC_INLINE void add_four(Sums& sums, const std::uint8_t* codes, const std::int8_t* x) {
  std::int32_t lanes[kInt8Outs];
  std::memcpy(lanes, sums.part, sizeof lanes);
  for (std::int64_t o = 0; o < kInt8Outs; ++o) {
    for (std::int64_t k = 0; k < 4; ++k) lanes[o] += (codes[o * 4 + k] - 128) * x[k];
  }
  std::memcpy(sums.part, lanes, sizeof lanes);
}
#endif

}  // namespace thinkrec::kernels::int8
