#pragma once
// What kernels with matrix products share on CPUs with AVX-512. Only for kernels/*_cpu.cpp.

#include "kernels/simd.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define THINKREC_AVX512 1
#else
#define THINKREC_AVX512 0
#endif

#if THINKREC_AVX512
namespace thinkrec::kernels::avx512 {

/// The first `count` of 16 lanes: none below 0, all from 16 on.
inline __mmask16 lanes(std::int64_t count) { return simd::first_lanes(std::clamp<std::int64_t>(count, 0, 16)); }

// In assembly: GCC takes a function that does nothing but __builtin_prefetch for one without effect, and leaves its calls out.
inline void prefetch(const void* line) { asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(line))); }
/// Into the second cache.
inline void prefetch_second(const void* line) { asm volatile("prefetcht1 %0" : : "m"(*static_cast<const char*>(line))); }
inline void prefetch_to_write(const void* line) { asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line))); }

/// 16 x 16 values of 32 bits.
inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  __m512i u[16];  // u[i + j], i a multiple of 4: columns j, j + 4, j + 8, j + 12 of rows i .. i + 3
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int j = 0; j < 4; ++j) {
    const __m512i even = _mm512_shuffle_i32x4(u[j], u[4 + j], 0x88), odd = _mm512_shuffle_i32x4(u[j], u[4 + j], 0xdd);
    const __m512i even2 = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0x88), odd2 = _mm512_shuffle_i32x4(u[8 + j], u[12 + j], 0xdd);
    r[j] = _mm512_shuffle_i32x4(even, even2, 0x88);
    r[j + 4] = _mm512_shuffle_i32x4(odd, odd2, 0x88);
    r[j + 8] = _mm512_shuffle_i32x4(even, even2, 0xdd);
    r[j + 12] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
  }
}

/// 16 values of each of up to 16 lines, which lie `stride` apart, value by value; lines and values that are not there are 0.
inline void load_turned(const float* from, std::int64_t stride, std::int64_t count, std::int64_t values, __m512i (&turned)[16]) {
  for (std::int64_t line = 0; line < 16; ++line) {
    const __m512 loaded = line < count ? _mm512_maskz_loadu_ps(lanes(values), from + line * stride) : __m512{};
    turned[line] = _mm512_castps_si512(loaded);
  }
  transpose(turned);
}

/// to[i * to_stride + line] = from[line * stride + i], for up to 16 lines.
inline void turn(const float* from, std::int64_t stride, std::int64_t count, std::int64_t values, float* to,
                 std::int64_t to_stride) {
  for (std::int64_t i = 0; i < values; i += 16) {
    __m512i turned[16];
    load_turned(from + i, stride, count, values - i, turned);
    for (std::int64_t j = 0; j < std::min<std::int64_t>(16, values - i); ++j)
      _mm512_mask_storeu_epi32(to + (i + j) * to_stride, lanes(count), turned[j]);
  }
}

}  // namespace thinkrec::kernels::avx512
#endif
