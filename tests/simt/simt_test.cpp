// The emulator itself: every mistake that it promises to find is planted in a small kernel, and the kernel without the mistake
// passes for several orders of blocks and lanes; shuffles, votes, atomics and indexes give what CUDA gives.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"
#if __has_include(<cuda_bf16.h>)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define HAVE_CUDA_HEADERS 1
#endif

namespace {

using simt::Kind;
using thinkrec::kernels::Bfloat16;
using thinkrec::kernels::cuda::Float4;
using thinkrec::kernels::cuda::kAllLanes;

constexpr simt::Stream kStream = nullptr;
constexpr std::uint64_t kSeeds = 5;

void for_seeds(const std::function<void()>& body) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    simt::set_seed(seed);
    body();
  }
}

/// Every order finds the fault, and its message holds every part.
void expect_fault(Kind kind, const std::vector<std::string>& parts, const std::function<void()>& launch) {
  for_seeds([&] {
    try {
      launch();
      FAIL() << "no fault";
    } catch (const simt::Fault& fault) {
      EXPECT_EQ(static_cast<int>(fault.kind()), static_cast<int>(kind)) << fault.what();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(fault.what()).find(part), std::string::npos) << fault.what() << "\nlacks " << part;
      }
    }
  });
}

// ---- Barriers and races: the kernels reverse an array through shared memory, `bug` says what is wrong.

enum Bug { kNone, kNoBarrier, kOneTooFar, kUninitialised, kEarlyExit, kTwoLines, kHalfBarrier };

THINKREC_KERNEL(256) void reverse(const float* in, float* out, int n, Bug bug) {
  THINKREC_SHARED(float, tile, 64);
  const int i = static_cast<int>(threadIdx.x);
  if (bug == kEarlyExit && i >= n) {
    return;
  }
  if (i < n && !(bug == kUninitialised && i == 5)) {
    tile[i] = in[i];
  }
  if (bug == kTwoLines && i % 2 == 0) {
    __syncthreads();
  } else if (bug == kHalfBarrier && i < 32) {
    __syncwarp();
    return;
  } else if (bug != kNoBarrier) {
    __syncthreads();
  }
  if (i < n) {
    out[i] = tile[n - 1 - i + (bug == kOneTooFar ? 1 : 0)];
  }
}

void run_reverse(int n, int threads, Bug bug) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), 1.0f);
  const auto in = simt::guarded(values);
  auto out = simt::guarded<float>(values.size());
  THINKREC_LAUNCH(reverse, 3, threads, 0, kStream, in.data(), out.data(), n, bug);
  for (int i = 0; i < n; ++i) {
    ASSERT_EQ(out[static_cast<std::size_t>(i)], static_cast<float>(n - i));
  }
}

TEST(Simt, CorrectKernelPasses) {
  for_seeds([] {
    run_reverse(64, 64, kNone);
    run_reverse(50, 64, kNone);
    run_reverse(1, 33, kNone);
  });
}

TEST(Simt, MissingBarrierIsReadAfterWriteOrWriteAfterRead) {
  // Whichever thread comes first, one of the three faults names the pair.
  for_seeds([] {
    try {
      run_reverse(64, 64, kNoBarrier);
      FAIL() << "no fault";
    } catch (const simt::Fault& fault) {
      const std::string what = fault.what();
      EXPECT_TRUE(fault.kind() == Kind::race || fault.kind() == Kind::uninitialised) << what;
      EXPECT_NE(what.find("kernel reverse, block ("), std::string::npos) << what;
    }
  });
}

TEST(Simt, SharedOutOfBounds) {
  expect_fault(Kind::bounds, {"kernel reverse", "thread (0, 0, 0)", "shared tile: bytes 256 to 260 of 256"},
               [] { run_reverse(64, 64, kOneTooFar); });
}

TEST(Simt, UninitialisedSharedRead) {
  expect_fault(Kind::uninitialised, {"shared tile at byte 20", "thread (44, 0, 0)"}, [] { run_reverse(50, 64, kUninitialised); });
}

TEST(Simt, EarlyExitBeforeBarrier) {
  expect_fault(Kind::barrier, {"waits at __syncthreads at ", "simt_test.cpp", "with 50 of 64 threads", "has exited"},
               [] { run_reverse(50, 64, kEarlyExit); });
}

TEST(Simt, BarriersAtTwoLines) {
  expect_fault(Kind::barrier, {"waits at __syncthreads", "simt_test.cpp"}, [] { run_reverse(64, 64, kTwoLines); });
}

TEST(Simt, BarriersOfTwoKinds) {
  expect_fault(Kind::barrier, {"with 32 of 64 threads", "has exited"}, [] { run_reverse(64, 64, kHalfBarrier); });
}

/// Initialised in one phase, then touched by two threads in the next. `first` and `second` say what each of the threads does.
enum Act { kNothing, kRead, kWrite, kAtomic };
enum Between { kNoOrder, kBlockBarrier, kWarpBarrier, kShuffle };
THINKREC_KERNEL(64) void two_touches(float* out, int other, Act first, Act second, Between between) {
  THINKREC_SHARED(float, cell, 1);
  const int i = static_cast<int>(threadIdx.x);
  if (i == 0) {
    cell[0] = 1.0f;
  }
  __syncthreads();
  const auto act = [&](Act what) {
    if (what == kRead) {
      out[i] = cell[0];
    } else if (what == kWrite) {
      cell[0] = 2.0f;
    } else if (what == kAtomic) {
      atomicAdd(&cell[0], 1.0f);
    }
  };
  if (i == 0) {
    act(first);
  }
  if (between == kBlockBarrier) {
    __syncthreads();
  } else if (between == kWarpBarrier) {
    __syncwarp();
  } else if (between == kShuffle) {
    out[i] = __shfl_sync(kAllLanes, 1.0f, 0);
  }
  if (i == other) {
    act(second);
  }
}

void run_touches(int other, Act first, Act second, Between between) {
  auto out = simt::guarded<float>(64);
  THINKREC_LAUNCH(two_touches, 1, 64, 0, kStream, out.data(), other, first, second, between);
}

TEST(Simt, MissingBarrierByKind) {
  // The shuffle fixes the order in which the two threads of a warp come, and orders nothing.
  expect_fault(Kind::race, {"read after write (RAW): reads shared cell at byte 0 as thread (0, 0, 0) did", "thread (7, 0, 0)"},
               [] { run_touches(7, kWrite, kRead, kShuffle); });
  expect_fault(Kind::race, {"write after read (WAR): writes shared cell", "thread (7, 0, 0)"},
               [] { run_touches(7, kRead, kWrite, kShuffle); });
  expect_fault(Kind::race, {"write after write (WAW): writes shared cell", "thread (7, 0, 0)"},
               [] { run_touches(7, kWrite, kWrite, kShuffle); });
  expect_fault(Kind::race, {"(WAW)"}, [] { run_touches(7, kAtomic, kWrite, kShuffle); });
  expect_fault(Kind::race, {"(RAW)"}, [] { run_touches(7, kAtomic, kRead, kShuffle); });
  expect_fault(Kind::race, {"(WAR)"}, [] { run_touches(7, kRead, kAtomic, kShuffle); });
}

TEST(Simt, WarpBarrierOrdersItsWarpOnly) {
  for (const auto& [first, second] :
       {std::pair{kWrite, kRead}, {kRead, kWrite}, {kWrite, kWrite}, {kAtomic, kRead}, {kRead, kAtomic}}) {
    for_seeds([&] {
      run_touches(7, first, second, kBlockBarrier);
      run_touches(40, first, second, kBlockBarrier);
      run_touches(7, first, second, kWarpBarrier);
    });
    expect_fault(Kind::race, {"no barrier between"}, [&] { run_touches(40, first, second, kWarpBarrier); });
    expect_fault(Kind::race, {"no barrier between"}, [&] { run_touches(40, first, second, kNoOrder); });
  }
}

TEST(Simt, ReadsAndAtomicsDoNotRace) {
  for_seeds([] {
    run_touches(7, kRead, kRead, kNoOrder);
    run_touches(40, kRead, kRead, kNoOrder);
    run_touches(7, kAtomic, kAtomic, kNoOrder);
    run_touches(40, kAtomic, kAtomic, kNoOrder);
  });
}

/// A tree of partial warp barriers: lanes 0 and 1 meet, then 1 and 2: the write of 0 comes before the read of 2 through 1.
THINKREC_KERNEL(32) void relay(float* out, bool complete) {
  THINKREC_SHARED(float, cell, 1);
  const int i = static_cast<int>(threadIdx.x);
  if (i == 0) {
    cell[0] = 3.0f;
  }
  if (i <= 1) {
    __syncwarp(0x3);
  }
  if (complete && (i == 1 || i == 2)) {
    __syncwarp(0x6);
  }
  out[i] = 0;
  __shfl_sync(kAllLanes, 0, 0);
  if (i == 2) {
    out[i] = cell[0];
  }
}

TEST(Simt, OrderPassesOnThroughPartialWarpBarriers) {
  auto out = simt::guarded<float>(32);
  for_seeds([&] {
    THINKREC_LAUNCH(relay, 1, 32, 0, kStream, out.data(), true);
    EXPECT_EQ(out[2], 3.0f);
  });
  expect_fault(Kind::race, {"(RAW)", "thread (2, 0, 0)"}, [&] { THINKREC_LAUNCH(relay, 1, 32, 0, kStream, out.data(), false); });
}

THINKREC_KERNEL(32) void loop_sum(const float* in, float* out, int rounds, bool second_barrier) {
  THINKREC_SHARED(float, tile, 32);
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int round = 0; round < rounds; ++round) {
    tile[i] = in[round * 32 + i];
    __syncthreads();
    for (int j = 0; j < 32; ++j) {
      sum += tile[j];
    }
    if (second_barrier) {
      __syncthreads();
    }
  }
  out[i] = sum;
}

TEST(Simt, WriteAfterReadInALoop) {
  const auto in = simt::guarded(std::vector<float>(96, 1.0f));
  auto out = simt::guarded<float>(32);
  for_seeds([&] {
    THINKREC_LAUNCH(loop_sum, 2, 32, 0, kStream, in.data(), out.data(), 3, true);
    EXPECT_EQ(out[31], 96.0f);
  });
  expect_fault(Kind::race, {"shared tile"},
               [&] { THINKREC_LAUNCH(loop_sum, 2, 32, 0, kStream, in.data(), out.data(), 3, false); });
}

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
  expect_fault(Kind::misaligned, {"kernel copy4", "an access of 16 bytes at 0x", "simt_test.cpp"},
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

// ---- Warps.

enum WarpBug { kWholeWarp, kLaneExits, kLaneElsewhere, kOtherMask, kCallerLeftOut, kSourceLeftOut, kAtBlockBarrier };
THINKREC_KERNEL(64) void warp_bug(int* out, WarpBug bug) {
  const int i = static_cast<int>(threadIdx.x);
  if (bug == kLaneExits && i == 9) {
    return;
  }
  int sum = i;
  if (bug == kLaneElsewhere && i == 9) {
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
  } else if (bug == kOtherMask && i == 9) {
    sum += __shfl_xor_sync(0x3ffu, sum, 1);
  } else if (bug == kCallerLeftOut) {
    sum += __shfl_xor_sync(0xfffffdffu, sum, 1);
  } else if (bug == kSourceLeftOut) {
    if (i != 9) {
      sum += __shfl_xor_sync(0xfffffdffu, sum, 1);
    }
  } else {
    if (bug == kAtBlockBarrier && i == 9) {
      __syncthreads();
    }
    __syncwarp();
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
  }
  out[i] = sum;
}

TEST(Simt, ShuffleWithMissingLanes) {
  auto out = simt::guarded<int>(32);
  const auto launch = [&](WarpBug bug) { return [&, bug] { THINKREC_LAUNCH(warp_bug, 1, 32, 0, kStream, out.data(), bug); }; };
  for_seeds([&] {
    launch(kWholeWarp)();
    EXPECT_EQ(out[9], 9 + 8);
  });
  expect_fault(Kind::barrier, {"waits at __syncwarp", "mask 0xffffffff", "lane 9 (thread (9, 0, 0)) has exited"},
               launch(kLaneExits));
  expect_fault(Kind::barrier, {"waits at __shfl_xor_sync", "but its lane"}, launch(kLaneElsewhere));
  expect_fault(Kind::barrier, {"waits at __shfl_xor_sync", "but its lane"}, launch(kOtherMask));
  expect_fault(Kind::barrier, {"thread (9, 0, 0)", "leaves out the calling lane 9"}, launch(kCallerLeftOut));
  expect_fault(Kind::barrier, {"thread (8, 0, 0)", "reads lane 9, which does not take part"}, launch(kSourceLeftOut));
  expect_fault(Kind::barrier, {"waits at __syncwarp", "lane 9 (thread (9, 0, 0)) waits at __syncthreads"},
               launch(kAtBlockBarrier));
}

THINKREC_KERNEL(64) void warp_values(int* ints, float* floats, double* doubles, unsigned long long* wide, unsigned* votes) {
  const int i = static_cast<int>(threadIdx.x);
  const int lane = i % 32;
  ints[i] = __shfl_sync(kAllLanes, i, 3);
  ints[64 + i] = __shfl_sync(kAllLanes, i, lane + 1, 8);
  ints[128 + i] = __shfl_down_sync(kAllLanes, i, 4);
  ints[192 + i] = __shfl_down_sync(kAllLanes, i, 3, 16);
  ints[256 + i] = __shfl_xor_sync(kAllLanes, i, 5);
  ints[320 + i] = __shfl_xor_sync(kAllLanes, i, 8, 8);
  float sum = static_cast<float>(lane);
  for (int k = 16; k > 0; k /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, k);
  }
  floats[i] = sum;
  doubles[i] = __shfl_sync(kAllLanes, 0.1 * i, 31 - lane);
  wide[i] = __shfl_sync(kAllLanes, 1ull << i, 31);
  votes[i] = __ballot_sync(kAllLanes, lane % 3 == 0);
  votes[64 + i] = static_cast<unsigned>(__any_sync(kAllLanes, i == 40));
  if (lane < 4) {
    votes[128 + i] = __ballot_sync(0xfu, lane > 1);
  }
}

TEST(Simt, WarpOperationsGiveCudasValues) {
  for_seeds([] {
    auto ints = simt::guarded<int>(384);
    auto floats = simt::guarded<float>(64);
    auto doubles = simt::guarded<double>(64);
    auto wide = simt::guarded<unsigned long long>(64);
    auto votes = simt::guarded<unsigned>(192);
    THINKREC_LAUNCH(warp_values, 1, 64, 0, kStream, ints.data(), floats.data(), doubles.data(), wide.data(), votes.data());
    unsigned thirds = 0;
    for (int lane = 0; lane < 32; lane += 3) {
      thirds |= 1u << lane;
    }
    for (int i = 0; i < 64; ++i) {
      const int warp = i / 32 * 32;
      const int lane = i % 32;
      const auto at = [&](int row) { return ints[static_cast<std::size_t>(64 * row + i)]; };
      EXPECT_EQ(at(0), warp + 3);
      EXPECT_EQ(at(1), warp + lane / 8 * 8 + (lane + 1) % 8);
      EXPECT_EQ(at(2), lane + 4 < 32 ? i + 4 : i);
      EXPECT_EQ(at(3), lane % 16 + 3 < 16 ? i + 3 : i);
      EXPECT_EQ(at(4), warp + (lane ^ 5));
      EXPECT_EQ(at(5), (lane ^ 8) < lane ? warp + (lane ^ 8) : i);
      const auto k = static_cast<std::size_t>(i);
      EXPECT_EQ(floats[k], 496.0f);
      EXPECT_EQ(doubles[k], 0.1 * (warp + 31 - lane));
      EXPECT_EQ(wide[k], 1ull << (warp + 31));
      EXPECT_EQ(votes[k], thirds);
      EXPECT_EQ(votes[64 + k], warp == 32 ? 1u : 0u);
      if (lane < 4) {
        EXPECT_EQ(votes[128 + k], 0xcu);
      }
    }
  });
}

// ---- Atomics, indexes, dynamic shared memory, launches.

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

THINKREC_KERNEL(256) void where_am_i(int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  // The lane order follows the linear index of the thread.
  const unsigned first = __shfl_sync(kAllLanes, thread, 0);
  out[block * threads + thread] = static_cast<int>(block * 1000 + thread + (first == thread / 32 * 32 ? 0 : 1000000));
}

TEST(Simt, ThreeDimensionalIndexes) {
  for_seeds([] {
    auto out = simt::guarded<int>(24 * 105);
    THINKREC_LAUNCH(where_am_i, dim3(2, 3, 4), dim3(7, 5, 3), 0, kStream, out.data());
    for (int i = 0; i < 24 * 105; ++i) {
      ASSERT_EQ(out[static_cast<std::size_t>(i)], i / 105 * 1000 + i % 105);
    }
  });
}

template <class SharedFloats>
THINKREC_DEVICE float sum_of(SharedFloats values, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += values[i];
  }
  return sum;
}

template <int kScale>
THINKREC_KERNEL(64)
void dynamic_rows(float* out, int rows) {
  THINKREC_DYNAMIC_SHARED(float, cells);
  const int i = static_cast<int>(threadIdx.x);
  const int width = static_cast<int>(blockDim.x);
  for (int row = 0; row < rows; ++row) {
    cells[row * width + i] = static_cast<float>(kScale * row);
    cells[row * width + i] += 1;
  }
  __syncthreads();
  out[i] = sum_of(cells + (rows - 1) * width, width);
}

TEST(Simt, DynamicSharedMemory) {
  auto out = simt::guarded<float>(64);
  for_seeds([&] {
    THINKREC_LAUNCH(dynamic_rows<2>, 2, 64, 5 * 64 * sizeof(float), kStream, out.data(), 5);
    EXPECT_EQ(out[63], 64.0f * 9.0f);
  });
  expect_fault(Kind::bounds, {"kernel dynamic_rows<2>", "shared cells: bytes ", "of 1276 that the launch asked for"},
               [&] { THINKREC_LAUNCH(dynamic_rows<2>, 2, 64, 5 * 64 * sizeof(float) - 4, kStream, out.data(), 5); });
  THINKREC_LAUNCH(dynamic_rows<2>, 1, 64, 227 * 1024, kStream, out.data(), 200);
  expect_fault(Kind::launch, {"232452 bytes of dynamic shared memory, of at most 232448"},
               [&] { THINKREC_LAUNCH(dynamic_rows<2>, 1, 64, 227 * 1024 + 4, kStream, out.data(), 5); });
}

THINKREC_KERNEL(32) void too_much_static() {
  THINKREC_SHARED(float, big, 8192);
  THINKREC_SHARED(float, more, 4097);
  big[threadIdx.x] = 0;
  more[threadIdx.x] = 0;
}

TEST(Simt, InvalidLaunches) {
  auto out = simt::guarded<float>(64);
  const auto launch = [&](dim3 grid, dim3 block) {
    return [&, grid, block] { THINKREC_LAUNCH(dynamic_rows<1>, grid, block, 1024, kStream, out.data(), 1); };
  };
  expect_fault(Kind::launch, {"kernel dynamic_rows<1>", "a grid of (0, 1, 1)"}, launch(0, 32));
  expect_fault(Kind::launch, {"a grid of (1, 65536, 1)"}, launch(dim3(1, 65536), 32));
  expect_fault(Kind::launch, {"a block of (0, 1, 1)"}, launch(1, 0));
  expect_fault(Kind::launch, {"a block of 65 threads, where THINKREC_KERNEL allows 64"}, launch(1, 65));
  expect_fault(Kind::launch, {"a block of (33, 32, 1) = 1056 threads"}, launch(1, dim3(33, 32)));
  expect_fault(Kind::launch, {"a block of (1, 1, 65)"}, launch(1, dim3(1, 1, 65)));
  expect_fault(Kind::launch, {"shared array more", "49156 bytes, of at most 49152"},
               [&] { THINKREC_LAUNCH(too_much_static, 1, 32, 0, kStream); });
  EXPECT_NO_THROW(launch(1, 64)());
}

THINKREC_KERNEL(96) void bounded_by_no_power_of_two() {}
THINKREC_KERNEL(64) void bounded() {}
void not_a_kernel() {}

TEST(Simt, TheBoundIsThatOfTheKernelThroughAPointerToo) {
  const auto pointer = bounded_by_no_power_of_two;
  EXPECT_NO_THROW(THINKREC_LAUNCH(pointer, 1, 96, 0, kStream));
  expect_fault(Kind::launch, {"a block of 97 threads, where THINKREC_KERNEL allows 96"},
               [&] { THINKREC_LAUNCH(pointer, 1, 97, 0, kStream); });
  expect_fault(Kind::launch, {"65 threads, where THINKREC_KERNEL allows 64"},
               [] { THINKREC_LAUNCH(bounded, 1, 65, 0, kStream); });
  expect_fault(Kind::launch, {"kernel not_a_kernel", "it has no THINKREC_KERNEL"},
               [] { THINKREC_LAUNCH(not_a_kernel, 1, 1, 0, kStream); });
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

// ---- The order.

THINKREC_KERNEL(64) void arrive(int* next, int* order) {
  for (int round = 0; round < 2; ++round) {
    order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    __syncthreads();
  }
}

std::vector<int> arrivals(std::uint64_t seed) {
  simt::set_seed(seed);
  auto next = simt::guarded(std::vector<int>{0});
  auto order = simt::guarded<int>(4 * 64 * 2);
  THINKREC_LAUNCH(arrive, 4, 64, 0, kStream, next.data(), order.data());
  return order.vector();
}

TEST(Simt, OrderFollowsTheSeed) {
  std::set<std::vector<int>> orders;
  std::set<int> first_blocks;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<int> order = arrivals(seed);
    EXPECT_EQ(order, arrivals(seed));
    orders.insert(order);
    first_blocks.insert(order[0] / 64);
    EXPECT_NE(std::vector<int>(order.begin(), order.begin() + 64), std::vector<int>(order.begin() + 64, order.begin() + 128));
  }
  EXPECT_EQ(orders.size(), 20u);
  EXPECT_EQ(first_blocks.size(), 4u);
}

TEST(Simt, AFaultLeavesTheEmulatorUsable) {
  simt::set_seed(1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW(run_reverse(50, 64, kEarlyExit), simt::Fault);
    EXPECT_THROW(run_reverse(64, 64, kTwoLines), simt::Fault);
    run_reverse(64, 64, kNone);
  }
}

THINKREC_KERNEL(32) void innermost() {}
THINKREC_KERNEL(32) void launches_another() { THINKREC_LAUNCH(innermost, 1, 1, 0, kStream); }

TEST(Simt, NoLaunchFromAKernel) {
  expect_fault(Kind::launch, {"kernel launches_another", "launched innermost from a kernel"},
               [] { THINKREC_LAUNCH(launches_another, 1, 1, 0, kStream); });
}

}  // namespace
