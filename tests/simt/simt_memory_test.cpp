// The emulator itself: guarded and shared memory, vectors, atomics and 16-bit floats.

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "simt/simt_testing.h"
#if __has_include(<cuda_bf16.h>)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define HAVE_CUDA_HEADERS 1
#endif

namespace {

using namespace simt_testing;
using simt::Kind;
using thinkrec::kernels::Bfloat16;
using thinkrec::kernels::cuda::Float4;

// ---- Global memory.

THINKREC_KERNEL(64) void fill(float* out, int n, int past) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n + past) {
    out[i] = 1.0f;
  }
}

TEST(Simt, GlobalOutOfBounds) {
  auto out = simt::guarded<float>(50);
  for_seeds([&] { THINKREC_LAUNCH(fill, 1, 64, 0, kStream, out.data(), 50, 0); });
  const auto launch = [&] { THINKREC_LAUNCH(fill, 1, 64, 0, kStream, out.data(), 50, 1); };
#if THINKREC_SIMT_ASAN
  EXPECT_DEATH(launch(), "heap-buffer-overflow");
#else
  expect_fault(Kind::bounds, {"kernel fill", "byte 200 of a guarded array of 200 bytes was written"}, launch);
#endif
}

THINKREC_KERNEL(64) void copy4(const float* in, float* out, int offset) {
  const int i = static_cast<int>(threadIdx.x);
  THINKREC_CHECK_ALIGNED(in + offset + 4 * i, 16);
  for (int k = 0; k < 4; ++k) {
    out[4 * i + k] = in[offset + 4 * i + k];
  }
}

TEST(Simt, MisalignedVectorLoad) {
  const auto in = simt::guarded(std::vector<float>(256, 2.0f));
  auto out = simt::guarded<float>(128);
  for_seeds([&] { THINKREC_LAUNCH(copy4, 1, 32, 0, kStream, in.data(), out.data(), 4); });
  expect_fault(Kind::misaligned, {"kernel copy4", "an access of 16 bytes at 0x", "simt_memory_test.cpp"},
               [&] { THINKREC_LAUNCH(copy4, 1, 32, 0, kStream, in.data(), out.data(), 3); });
}

THINKREC_KERNEL(32) void shared_vectors(float* out, int offset) {
  THINKREC_SHARED(float, tile, 132);
  const int i = static_cast<int>(threadIdx.x);
  for (int k = i; k < 132; k += 32) {
    tile[k] = static_cast<float>(k);
  }
  __syncthreads();
  const Float4 four = (tile + offset).as<Float4>()[i];
  out[i] = four.value[0] + four.value[3];
}

TEST(Simt, SharedMemoryAsVectors) {
  auto out = simt::guarded<float>(32);
  for_seeds([&] {
    THINKREC_LAUNCH(shared_vectors, 1, 32, 0, kStream, out.data(), 4);
    EXPECT_EQ(out[2], 12.0f + 15.0f);
  });
  expect_fault(Kind::misaligned, {"an access of 16 bytes"},
               [&] { THINKREC_LAUNCH(shared_vectors, 1, 32, 0, kStream, out.data(), 2); });
  expect_fault(Kind::bounds, {"shared tile: bytes 528 to 544 of 528"},
               [&] { THINKREC_LAUNCH(shared_vectors, 1, 32, 0, kStream, out.data(), 8); });
}

// ---- Atomics.

THINKREC_KERNEL(128) void count_all(float* f, double* d, int* n, unsigned* u, unsigned long long* w, int* old) {
  THINKREC_SHARED(int, sum, 2);
  const int i = static_cast<int>(threadIdx.x);
  if (i < 2) {
    sum[i] = 0;
  }
  __syncthreads();
  atomicAdd(sum + i % 2, i);
  __syncthreads();
  if (i == 0) {
    atomicAdd(n, sum[0] + sum[1]);
  }
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  atomicAdd(u, 1u);
  old[atomicAdd(w, 1ull)] = 1;
}

TEST(Simt, Atomics) {
  for_seeds([] {
    auto f = simt::guarded(std::vector<float>{0});
    auto d = simt::guarded(std::vector<double>{0});
    auto n = simt::guarded(std::vector<int>{0});
    auto u = simt::guarded(std::vector<unsigned>{0});
    auto w = simt::guarded(std::vector<unsigned long long>{0});
    auto old = simt::guarded(std::vector<int>(400));
    THINKREC_LAUNCH(count_all, 4, 100, 0, kStream, f.data(), d.data(), n.data(), u.data(), w.data(), old.data());
    EXPECT_EQ(f[0], 200.0f);
    EXPECT_EQ(d[0], 100.0);
    EXPECT_EQ(n[0], 4 * 4950);
    EXPECT_EQ(u[0], 400u);
    EXPECT_EQ(w[0], 400u);
    EXPECT_EQ(std::accumulate(old.begin(), old.end(), 0), 400);
  });
}

// ---- bf16.

Bfloat16 rounded(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (std::isnan(x)) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

THINKREC_KERNEL(64) void through_bfloat16(const float* in, float* out, int n) {
  THINKREC_SHARED(Bfloat16, tile, 64);
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) {
    tile[i] = rounded(in[i]);
  }
  __syncthreads();
  if (i < n) {
    const Bfloat16 stored = tile[n - 1 - i];
    out[n - 1 - i] = std::bit_cast<float>(std::uint32_t{stored.bits} << 16);
  }
}

#ifdef HAVE_CUDA_HEADERS
THINKREC_KERNEL(64) void through_cudas_types(const float* in, float* brain, float* half, int n) {
  THINKREC_SHARED(__nv_bfloat16, brains, 64);
  THINKREC_SHARED(__half, halves, 64);
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) {
    brains[i] = __float2bfloat16_rn(in[i]);
    halves[i] = __float2half_rn(in[i]);
  }
  __syncthreads();
  if (i < n) {
    brain[n - 1 - i] = __bfloat162float(brains[n - 1 - i]);
    half[n - 1 - i] = __half2float(halves[n - 1 - i]);
  }
}
#endif

TEST(Simt, Bfloat16) {
  std::vector<float> values = {0.0f,     -1.0f,  1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f,
                               3.14159f, 1e-39f, 65504.0f,       std::numeric_limits<float>::infinity()};
  const auto n = static_cast<int>(values.size());
  const auto in = simt::guarded(values);
  for_seeds([&] {
    auto out = simt::guarded<float>(values.size());
    THINKREC_LAUNCH(through_bfloat16, 1, 64, 0, kStream, in.data(), out.data(), n);
    EXPECT_EQ(out[2], 1.0f);  // ties go to even
    EXPECT_EQ(out[3], 1.0f + 2 * 0x1p-7f);
    EXPECT_EQ(out[4], 3.140625f);
    EXPECT_EQ(out[7], values[7]);
#ifdef HAVE_CUDA_HEADERS
    auto brain = simt::guarded<float>(values.size());
    auto half = simt::guarded<float>(values.size());
    THINKREC_LAUNCH(through_cudas_types, 1, 64, 0, kStream, in.data(), brain.data(), half.data(), n);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(brain[i], out[i]);
    }
    EXPECT_EQ(half[6], 65504.0f);
    EXPECT_EQ(half[4], 3.140625f);
#endif
  });
}

}  // namespace
