// What every implementation of Collectives does with host memory, whatever the number of ranks.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "comm/collectives_fixture.h"
#include "core/error.h"

namespace thinkrec {
namespace {

TEST_P(CollectivesTest, SumsAndMaxima) {
  const int n = group().size(), r = group().rank();
  std::vector<float> floats = {1.0F * static_cast<float>(r), 2.0F, -1.0F};
  group().all_reduce_sum(std::span<float>(floats));
  EXPECT_FLOAT_EQ(floats[0], static_cast<float>(n * (n - 1) / 2));
  EXPECT_FLOAT_EQ(floats[1], 2.0F * static_cast<float>(n));
  std::vector<double> doubles = {0.1 * (r + 1)};
  group().all_reduce_sum(std::span<double>(doubles));
  EXPECT_NEAR(doubles[0], 0.1 * n * (n + 1) / 2, 1e-15);
  std::vector<std::int64_t> integers = {std::int64_t{1} << 40, r};
  group().all_reduce_sum(std::span<std::int64_t>(integers));
  EXPECT_EQ(integers[0], (std::int64_t{1} << 40) * n);
  std::int64_t most = r;
  group().all_reduce_max(std::span(&most, 1));
  EXPECT_EQ(most, n - 1);
  std::vector<float> none;
  group().all_reduce_sum(std::span<float>(none));
}

TEST_P(CollectivesTest, EveryRankGetsTheSameBits) {
  std::vector<float> values(10007);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = 1.0F / static_cast<float>(i + 3 + 17 * static_cast<std::size_t>(group().rank()));
  group().all_reduce_sum(std::span<float>(values));
  const auto all = all_gather_values<float>(group(), values);
  ASSERT_EQ(all.size(), values.size() * static_cast<std::size_t>(group().size()));
  for (int r = 0; r < group().size(); ++r) {
    EXPECT_EQ(std::memcmp(all.data() + static_cast<std::size_t>(r) * values.size(), values.data(), values.size() * sizeof(float)),
              0);
  }
}

TEST_P(CollectivesTest, GathersDifferentLengthsInRankOrder) {
  std::vector<std::int32_t> mine(static_cast<std::size_t>(group().rank()), group().rank());  // rank 0 gives nothing
  const auto all = all_gather_values<std::int32_t>(group(), mine);
  std::size_t at = 0;
  for (int r = 0; r < group().size(); ++r) {
    for (int i = 0; i < r; ++i) EXPECT_EQ(all.at(at++), r);
  }
  EXPECT_EQ(at, all.size());
}

TEST_P(CollectivesTest, BroadcastsTextFromEachRoot) {
  for (int root = 0; root < group().size(); ++root) {
    std::string text = group().rank() == root ? fmt::format("from {}", root) : "something longer that must go";
    broadcast_text(group(), text, root);
    EXPECT_EQ(text, fmt::format("from {}", root));
    std::string empty = group().rank() == root ? "" : "x";
    broadcast_text(group(), empty, root);
    EXPECT_EQ(empty, "");
  }
}

TEST_P(CollectivesTest, AnErrorOfOneRankIsThrownOnAll) {
  int ran = 0;
  on_each_rank(group(), [&] { ++ran; });
  on_rank_zero(group(), [&] { ++ran; });
  EXPECT_EQ(ran, group().rank() == 0 ? 2 : 1);
  const auto thrown = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return fmt::format("{}: {}", static_cast<int>(error.code()), error.what());
    }
    return "nothing";
  };
  for (int from = 0; from < group().size(); ++from) {  // it and all above it have one: the lowest rank's counts
    EXPECT_EQ(thrown([&] {
                on_each_rank(group(), [&] {
                  if (group().rank() >= from) fail(ExitCode::kNoInput, "rank {}|of", group().rank());
                });
              }),
              fmt::format("{}: rank {}|of", static_cast<int>(ExitCode::kNoInput), from));
  }
  EXPECT_EQ(thrown([&] { on_rank_zero(group(), [] { fail(ExitCode::kBadData, "bad"); }); }), "65: bad");
}

TEST_P(CollectivesTest, SplitsIntoGroups) {
  const auto half = group().split(group().rank() % 2);
  ASSERT_NE(half, nullptr);
  std::int64_t one = 1;
  half->all_reduce_sum(std::span(&one, 1));
  EXPECT_EQ(one, half->size());
  EXPECT_EQ(half->rank(), group().rank() / 2);
  const auto some = group().split(group().rank() == 0 ? -1 : 0);
  EXPECT_EQ(some == nullptr, group().rank() == 0);
}

TEST_P(CollectivesTest, SumsAreTheSameEachTime) {
  std::vector<double> values(5003);
  const auto fill = [&] {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::sin(static_cast<double>(i) * 1e3 + group().rank()) * std::pow(10.0, static_cast<double>(i % 13));
  };
  fill();
  group().all_reduce_sum(std::span<double>(values));
  const auto first = values;
  for (int repeat = 0; repeat < 20; ++repeat) {
    fill();
    group().all_reduce_sum(std::span<double>(values));
    ASSERT_EQ(std::memcmp(values.data(), first.data(), values.size() * sizeof(double)), 0);
  }
}

TEST_P(CollectivesTest, SumsMatchASerialLoopForOddLengths) {
  for (const std::size_t n : {1U, 6U, 7U, 8U, 71U, 229U}) {
    std::vector<std::int64_t> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<std::int64_t>(i * 1000003) * (group().rank() + 1);
    auto most = values;
    group().all_reduce_sum(std::span<std::int64_t>(values));
    group().all_reduce_max(std::span<std::int64_t>(most));
    const std::int64_t ranks = group().size();
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_EQ(values[i], static_cast<std::int64_t>(i * 1000003) * (ranks * (ranks + 1) / 2));
      EXPECT_EQ(most[i], static_cast<std::int64_t>(i * 1000003) * ranks);
    }
  }
}

TEST_P(CollectivesTest, GathersNothingFromNobody) { EXPECT_TRUE(all_gather_values<double>(group(), {}).empty()); }

TEST_P(CollectivesTest, BroadcastsLongBytes) {
  const int root = group().size() - 1;
  std::vector<std::byte> bytes(100003, std::byte{1});
  if (group().rank() == root) {
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + 7);
  }
  group().broadcast(bytes, root);
  for (std::size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], static_cast<std::byte>(i * 31 + 7));
}

TEST_P(CollectivesTest, RefusesARootThatIsNotThere) {
  std::byte byte{};
  EXPECT_THROW(group().broadcast(std::span(&byte, 1), group().size()), Error);
  EXPECT_THROW(group().broadcast(std::span(&byte, 1), -1), Error);
  group().barrier();
}

TEST_P(CollectivesTest, AGroupOfAGroupKeepsTheOrder) {
  const auto all = group().split(5);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(all->size(), group().size());
  EXPECT_EQ(all->rank(), group().rank());
  const auto alone = all->split(all->rank());
  EXPECT_EQ(alone->size(), 1);
  std::int64_t value = group().rank();
  alone->all_reduce_sum(std::span(&value, 1));
  EXPECT_EQ(value, group().rank());
}

TEST_P(CollectivesTest, SharesMemoryOnANode) {
  const auto node = group().split_by_node();
  const auto memory = node->allocate_shared(1000);
  ASSERT_EQ(memory->bytes().size(), 1000U);
  if (node->rank() == 0) std::memset(memory->bytes().data(), 7, 1000);
  node->barrier();
  EXPECT_EQ(memory->bytes()[999], std::byte{7});
  node->barrier();
}

TEST_P(CollectivesTest, SharesNothingAndWhatIsLarge) {
  const auto node = group().split_by_node();
  const auto none = node->allocate_shared(0);
  EXPECT_TRUE(none->bytes().empty());
  constexpr std::size_t kLarge = 40'000'019;
  const auto memory = node->allocate_shared(kLarge);
  ASSERT_EQ(memory->bytes().size(), kLarge);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->bytes().data()) % 64, 0U);
  if (node->rank() == 0) {
    memory->bytes().front() = std::byte{1};
    memory->bytes().back() = std::byte{2};
  }
  node->barrier();
  EXPECT_EQ(memory->bytes().front(), std::byte{1});
  EXPECT_EQ(memory->bytes().back(), std::byte{2});
  node->barrier();
}

TEST_P(CollectivesTest, RefusesToShareMoreThanThereCanBe) {
  const auto node = group().split_by_node();
  EXPECT_THROW(node->allocate_shared(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
  EXPECT_THROW(node->allocate_shared(kMostSharedBytes + 1), std::bad_alloc);
  if (node->size() > 1) {
    try {
      node->allocate_shared(kMostSharedBytes);
      FAIL() << "there is no such memory";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kIo);
      EXPECT_NE(std::string(error.what()).find("--shm-size"), std::string::npos) << error.what();
    }
  }
  node->barrier();
}

}  // namespace
}  // namespace thinkrec
