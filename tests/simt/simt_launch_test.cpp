// The emulator itself: indexes, dynamic shared memory, the bounds of a launch, and the order of blocks and lanes.

#include <set>

#include "simt/simt_testing.h"

namespace {

using namespace simt_testing;
using simt::Kind;
using thinkrec::kernels::cuda::kAllLanes;

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

THINKREC_KERNEL(32) void innermost() {}
THINKREC_KERNEL(32) void launches_another() { THINKREC_LAUNCH(innermost, 1, 1, 0, kStream); }

TEST(Simt, NoLaunchFromAKernel) {
  expect_fault(Kind::launch, {"kernel launches_another", "launched innermost from a kernel"},
               [] { THINKREC_LAUNCH(launches_another, 1, 1, 0, kStream); });
}

}  // namespace
