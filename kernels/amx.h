#pragma once
// The tiles of x86 CPUs (AMX): eight registers of 16 rows of 64 bytes. Only for kernels/*_cpu.cpp.

#if defined(__AMX_TILE__) && defined(__AVX512F__) && defined(__linux__)
#define THINKREC_AMX 1
#else
#define THINKREC_AMX 0
#endif
#if THINKREC_AMX && defined(__AMX_INT8__)
#define THINKREC_AMX_INT8 1
#else
#define THINKREC_AMX_INT8 0
#endif
#if THINKREC_AMX && defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define THINKREC_AMX_BF16 1
#else
#define THINKREC_AMX_BF16 0
#endif

#if THINKREC_AMX
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cstdint>

namespace thinkrec::kernels::amx {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t columns[16] = {};
  std::uint8_t rows[16] = {};
};

/// Asks the operating system for the tiles, once a process.
inline bool permitted() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

/// All eight tiles whole, for this thread until `release`.
inline void configure() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.columns[tile] = 64;
    config.rows[tile] = 16;
  }
  _tile_loadconfig(&config);
}
inline void release() { _tile_release(); }

}  // namespace thinkrec::kernels::amx
#endif
