// Rows computed together, and how ranks share them.
#include "train/units.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace thinkrec {
namespace {

/// Rows of users that begin alike with `common` tokens and go on with `own`.
class Rows {
 public:
  Rows(std::int64_t users, std::int64_t each, std::int64_t common, std::int64_t own) {
    for (std::int64_t user = 0; user < users; ++user) {
      for (std::int64_t i = 0; i < each; ++i) {
        EncodedRow& row = rows_.emplace_back();
        const auto mark = static_cast<std::int32_t>(rows_.size() + 1000);
        row.token.assign(static_cast<std::size_t>(common), static_cast<std::int32_t>(user));
        row.token.insert(row.token.end(), static_cast<std::size_t>(own), mark);
        row.prompt_length = static_cast<std::int64_t>(row.token.size());
        group_.push_back(user);
      }
    }
    for (std::size_t i = 0; i < rows_.size(); ++i)
      to_pack_.push_back({&rows_[i], static_cast<std::int64_t>(rows_[i].token.size()), i, group_[i]});
  }
  std::span<const RowToPack> to_pack() const { return to_pack_; }

 private:
  std::vector<EncodedRow> rows_;
  std::vector<std::int64_t> group_;
  std::vector<RowToPack> to_pack_;
};

std::int64_t tokens(const std::vector<Unit>& units) {
  return std::accumulate(units.begin(), units.end(), std::int64_t{0}, [](std::int64_t sum, const Unit& unit) { return sum + unit.tokens; });
}

/// Every row once, and every unit's tokens as its rows have them.
void expect_whole(const std::vector<std::vector<Unit>>& shares, std::span<const RowToPack> rows) {
  std::vector<std::int64_t> places;
  for (const auto& share : shares) {
    for (const Unit& unit : share) {
      places.insert(places.end(), unit.places.begin(), unit.places.end());
      std::vector<RowToPack> own;
      for (const std::int64_t place : unit.places) own.push_back(rows[static_cast<std::size_t>(place)]);
      EXPECT_EQ(unit.tokens, shared_length(own));
    }
  }
  std::sort(places.begin(), places.end());
  std::vector<std::int64_t> wanted(rows.size());
  std::iota(wanted.begin(), wanted.end(), std::int64_t{0});
  EXPECT_EQ(places, wanted);
}

TEST(Units, RowsOfAGroupAreTogetherUpToTheLimit) {
  const Rows rows(2, 3, 40, 10);
  const auto units = make_units(rows.to_pack(), 1000);
  ASSERT_EQ(units.size(), 2U);
  EXPECT_EQ(units[0].places, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(units[0].tokens, 40 + 3 * 10);
  const auto small = make_units(rows.to_pack(), 60);
  ASSERT_EQ(small.size(), 4U);
  EXPECT_EQ(small[0].tokens, 60);
  EXPECT_EQ(small[1].places, (std::vector<std::int64_t>{2}));
}

TEST(Units, RowsWithNothingInCommonStayApart) {
  EXPECT_EQ(make_units(Rows(2, 2, 0, 10).to_pack(), 1000).size(), 4U);
  const Rows alike(1, 2, 40, 10);
  std::vector<RowToPack> strangers(alike.to_pack().begin(), alike.to_pack().end());
  for (RowToPack& row : strangers) row.group = -1;
  EXPECT_EQ(make_units(strangers, 1000).size(), 2U);
}

TEST(Units, OneRankKeepsThemWhole) {
  const Rows rows(3, 4, 40, 10);
  const auto shares = share_units(make_units(rows.to_pack(), 1000), rows.to_pack(), 1);
  ASSERT_EQ(shares.size(), 1U);
  EXPECT_EQ(shares[0].size(), 3U);
}

TEST(Units, AUnitIsSplitWhereThatShortensTheStep) {
  // Three users on two ranks: whole, one rank has twice the work of the other.
  const Rows rows(3, 4, 40, 100);
  const auto shares = share_units(make_units(rows.to_pack(), 1000), rows.to_pack(), 2);
  expect_whole(shares, rows.to_pack());
  const std::int64_t most = std::max(tokens(shares[0]), tokens(shares[1]));
  EXPECT_EQ(most, 440 + 40 + 200);
  EXPECT_EQ(std::min(tokens(shares[0]), tokens(shares[1])), most);
}

TEST(Units, AUnitStaysWholeWhereItsRowsHaveLittleOfTheirOwn) {
  const Rows rows(3, 4, 400, 1);  // a split would compute 400 tokens twice and save two
  const auto shares = share_units(make_units(rows.to_pack(), 1000), rows.to_pack(), 2);
  EXPECT_EQ(shares[0].size() + shares[1].size(), 3U);
}

TEST(Units, MoreRanksThanUnitsAllGetRows) {
  const Rows rows(1, 8, 40, 100);
  const auto shares = share_units(make_units(rows.to_pack(), 1000), rows.to_pack(), 4);
  expect_whole(shares, rows.to_pack());
  for (const auto& share : shares) EXPECT_EQ(tokens(share), 240);
}

/// As a step shares them: each row once on any number of ranks, in units of any size.
TEST(Units, EachRowIsOnOneOfAnyNumberOfRanks) {
  std::mt19937_64 random(5);
  const auto draw = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  for (int round = 0; round < 60; ++round) {
    const Rows rows(draw(1, 6), draw(1, 5), draw(1, 80), draw(1, 40));
    for (int ranks = 1; ranks <= 5; ++ranks) {
      SCOPED_TRACE(fmt::format("round {}, {} ranks", round, ranks));
      const auto shares = share_units(make_units(rows.to_pack(), draw(20, 400)), rows.to_pack(), ranks);
      ASSERT_EQ(shares.size(), static_cast<std::size_t>(ranks));
      expect_whole(shares, rows.to_pack());
    }
  }
}

}  // namespace
}  // namespace thinkrec
