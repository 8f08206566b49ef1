// The emulator itself: every mistake at barriers and between warps that it promises to find is planted in a small kernel, and the kernel
// without the mistake passes for several orders of blocks and lanes; shuffles and votes give what CUDA gives.

#include <numeric>
#include <utility>

#include "simt/simt_testing.h"

namespace {

using namespace simt_testing;
using simt::Kind;
using thinkrec::kernels::cuda::kAllLanes;

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
  expect_fault(Kind::barrier, {"waits at __syncthreads at ", "simt_barriers_test.cpp", "with 50 of 64 threads", "has exited"},
               [] { run_reverse(50, 64, kEarlyExit); });
}

TEST(Simt, BarriersAtTwoLines) {
  expect_fault(Kind::barrier, {"waits at __syncthreads", "simt_barriers_test.cpp"}, [] { run_reverse(64, 64, kTwoLines); });
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

TEST(Simt, AFaultLeavesTheEmulatorUsable) {
  simt::set_seed(1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW(run_reverse(50, 64, kEarlyExit), simt::Fault);
    EXPECT_THROW(run_reverse(64, 64, kTwoLines), simt::Fault);
    run_reverse(64, 64, kNone);
  }
}

}  // namespace
