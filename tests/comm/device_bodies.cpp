// What every implementation of Collectives that knows GPU memory does with it, whatever the number of ranks.

#include <gtest/gtest.h>

#include <cstring>

#include "comm/collectives_fixture.h"
#include "core/error.h"

namespace thinkrec {
namespace {

std::vector<float> floats_of(const DeviceBytes& bytes) {
  const auto raw = bytes.read();
  std::vector<float> values(raw.size() / sizeof(float));
  if (!raw.empty()) std::memcpy(values.data(), raw.data(), raw.size());
  return values;
}

std::span<const std::byte> bytes_of(const std::vector<float>& values) { return std::as_bytes(std::span(values)); }

float value_of(int rank, std::size_t i) {
  return static_cast<float>((i * 31 + static_cast<std::size_t>(rank) * 7) % 1013) - 500.0F;
}

std::vector<float> values_of(int rank, std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = value_of(rank, i);
  return values;
}

TEST_P(DeviceCollectivesTest, SumsMatchASerialLoopForOddLengths) {
  for (const std::size_t n : {0U, 1U, 7U, 71U, 16229U, 600011U}) {
    DeviceBytes values(GetParam(), bytes_of(values_of(group().rank(), n)));
    group().all_reduce_sum_device(static_cast<float*>(values.data()), n);
    const auto sums = floats_of(values);
    for (std::size_t i = 0; i < n; ++i) {
      float sum = 0.0F;
      for (int r = 0; r < group().size(); ++r) sum += value_of(r, i);  // exact: small whole numbers
      ASSERT_EQ(sums[i], sum) << i << " of " << n;
    }
  }
}

TEST_P(DeviceCollectivesTest, EveryRankGetsTheSameBitsEachTime) {
  std::vector<float> given(10007);
  for (std::size_t i = 0; i < given.size(); ++i)
    given[i] = 1.0F / static_cast<float>(i + 3 + 17 * static_cast<std::size_t>(group().rank()));
  std::vector<float> first;
  for (int repeat = 0; repeat < 5; ++repeat) {
    DeviceBytes values(GetParam(), bytes_of(given));
    group().all_reduce_sum_device(static_cast<float*>(values.data()), given.size());
    const auto sums = floats_of(values);
    if (repeat == 0) first = sums;
    ASSERT_EQ(std::memcmp(sums.data(), first.data(), sums.size() * sizeof(float)), 0);
  }
  const auto all = all_gather_values<float>(group(), first);
  for (int r = 0; r < group().size(); ++r) {
    EXPECT_EQ(std::memcmp(all.data() + static_cast<std::size_t>(r) * first.size(), first.data(), first.size() * sizeof(float)),
              0);
  }
}

TEST_P(DeviceCollectivesTest, BroadcastsFromEachRoot) {
  for (int root = 0; root < group().size(); ++root) {
    for (const std::size_t n : {0U, 1U, 229U, 2500003U}) {
      std::vector<std::byte> given(n, std::byte{0});
      if (group().rank() == root) {
        for (std::size_t i = 0; i < n; ++i) given[i] = static_cast<std::byte>(i * 31 + 7);
      }
      DeviceBytes bytes(GetParam(), given);
      group().broadcast_device(bytes.data(), n, root);
      const auto received = bytes.read();
      for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(received[i], static_cast<std::byte>(i * 31 + 7)) << i << " of " << n;
    }
  }
  EXPECT_THROW(group().broadcast_device(nullptr, 1, group().size()), Error);
  EXPECT_THROW(group().broadcast_device(nullptr, 1, -1), Error);
}

TEST_P(DeviceCollectivesTest, GathersInPlace) {
  const auto ranks = static_cast<std::size_t>(group().size());
  for (const std::size_t each : {0U, 1U, 71U, 1200007U}) {
    std::vector<std::byte> given(each * ranks, std::byte{255});
    for (std::size_t i = 0; i < each; ++i)
      given[static_cast<std::size_t>(group().rank()) * each + i] =
          static_cast<std::byte>(i * 13 + static_cast<std::size_t>(group().rank()));
    DeviceBytes bytes(GetParam(), given);
    group().all_gather_device(bytes.data(), each);
    const auto all = bytes.read();
    for (std::size_t r = 0; r < ranks; ++r) {
      for (std::size_t i = 0; i < each; ++i) ASSERT_EQ(all[r * each + i], static_cast<std::byte>(i * 13 + r)) << r << ", " << i;
    }
  }
}

TEST_P(DeviceCollectivesTest, TakesAStream) {
  DeviceStream stream(GetParam());
  DeviceBytes values(GetParam(), bytes_of(values_of(group().rank(), 229)));
  group().all_reduce_sum_device(static_cast<float*>(values.data()), 229, stream.get());
  float sum = 0.0F;
  for (int r = 0; r < group().size(); ++r) sum += value_of(r, 228);
  EXPECT_EQ(floats_of(values)[228], sum);
}

TEST_P(DeviceCollectivesTest, SplitsIntoGroups) {
  const auto half = group().split(group().rank() % 2);
  ASSERT_NE(half, nullptr);
  DeviceBytes one(GetParam(), bytes_of(values_of(group().rank(), 71)));
  half->all_reduce_sum_device(static_cast<float*>(one.data()), 71);
  float sum = 0.0F;
  for (int r = group().rank() % 2; r < group().size(); r += 2) sum += value_of(r, 70);
  EXPECT_EQ(floats_of(one)[70], sum);
  const auto alone = half->split(half->rank());
  DeviceBytes own(GetParam(), bytes_of(values_of(group().rank(), 3)));
  alone->all_reduce_sum_device(static_cast<float*>(own.data()), 3);
  EXPECT_EQ(floats_of(own), values_of(group().rank(), 3));
  const auto some = group().split(group().rank() == 0 ? -1 : 0);
  EXPECT_EQ(some == nullptr, group().rank() == 0);
}

}  // namespace
}  // namespace thinkrec
