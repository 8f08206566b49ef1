// Packs of rows that begin alike.
#include "train/pack.h"

#include <gtest/gtest.h>

#include <numeric>

namespace thinkrec {
namespace {

EncodedRow row_of(std::int64_t common, std::int32_t mark, std::int64_t length) {
  EncodedRow row;
  for (std::int64_t i = 0; i < length; ++i) row.token.push_back(i < common ? static_cast<std::int32_t>(i) : mark);
  row.prompt_length = length - 1;
  return row;
}

std::vector<RowToPack> grouped(const std::vector<EncodedRow>& rows, std::int64_t group) {
  std::vector<RowToPack> to_pack;
  for (const EncodedRow& row : rows)
    to_pack.push_back({&row, static_cast<std::int64_t>(row.token.size()), 7 + to_pack.size(), group});
  return to_pack;
}

/// Every token of every row stands where place() says, at its position, and sees what is before it in its row.
void expect_whole(const RowPack& pack, std::span<const RowToPack> rows) {
  const PackedBatch& packed = pack.packed;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::int64_t i = 0; i < rows[r].length; ++i) {
      const std::int64_t at = pack.place(r, i);
      const auto place = static_cast<std::size_t>(at);
      const std::int32_t token = rows[r].row->token[static_cast<std::size_t>(i)];
      if (token >= 0) {
        EXPECT_EQ(packed.token[place], token);
      } else {
        const FeatureRef& slot = pack.slots[static_cast<std::size_t>(-1 - packed.token[place])];
        EXPECT_EQ(slot.index, rows[r].row->slots[static_cast<std::size_t>(-1 - token)].index);
      }
      EXPECT_EQ(packed.position[place], i);
      for (const std::int64_t part : pack.parts[r]) {
        const auto s = static_cast<std::size_t>(part);
        if (packed.begin[s + 1] <= at) {
          EXPECT_LT(at, packed.reach[s]) << "row " << r << " position " << i;
        }
      }
    }
    // And nothing else: rows that it is no part of do not reach it.
    const std::int64_t end = pack.place(r, rows[r].length - 1);
    for (std::size_t s = 0; s < packed.reach.size(); ++s) {
      const bool reached = packed.begin[s + 1] <= end && end < packed.reach[s];
      const bool part =
          std::find(pack.parts[r].begin(), pack.parts[r].end(), static_cast<std::int64_t>(s)) != pack.parts[r].end();
      if (reached) {
        EXPECT_TRUE(part) << "row " << r << ", segment " << s;
      }
    }
  }
}

TEST(RowPack, HoldsWhatRowsBeginWithOnce) {
  const std::vector<EncodedRow> rows = {row_of(40, 101, 50), row_of(40, 102, 60), row_of(80, 103, 90), row_of(80, 104, 85),
                                        row_of(3, 105, 30)};
  const auto to_pack = grouped(rows, 1);
  const RowPack pack = pack_rows(to_pack);
  expect_whole(pack, to_pack);
  EXPECT_EQ(pack.packed.tokens(), 40 + 10 + 20 + 40 + 10 + 5 + 30);
  EXPECT_EQ(shared_length(to_pack), pack.packed.tokens());
  EXPECT_EQ(pack.parts[0].size(), 2U);
  EXPECT_EQ(pack.parts[2].size(), 3U);
  EXPECT_EQ(pack.parts[4].size(), 1U);
}

TEST(RowPack, KeepsRowsApartThatAreNotOfOneGroup) {
  const std::vector<EncodedRow> rows = {row_of(40, 101, 50), row_of(40, 102, 60)};
  auto to_pack = grouped(rows, -1);
  EXPECT_EQ(pack_rows(to_pack).packed.tokens(), 110);
  to_pack[0].group = 1;
  to_pack[1].group = 2;
  const RowPack pack = pack_rows(to_pack);
  EXPECT_EQ(pack.packed.tokens(), 110);
  EXPECT_EQ(pack.place(1, 0), 50);
}

TEST(RowPack, LeavesEachRowTheEndOfItsPrompt) {
  const std::vector<EncodedRow> rows = {row_of(50, 1, 50), row_of(50, 1, 50)};  // the same row twice
  const auto to_pack = grouped(rows, 0);
  const RowPack pack = pack_rows(to_pack);
  expect_whole(pack, to_pack);
  EXPECT_EQ(pack.packed.tokens(), 48 + 2 + 2);  // prompts of 49 tokens, whose last is each row's own
}

TEST(RowPack, SharesSlotsOfOneFeatureOnly) {
  std::vector<EncodedRow> rows = {row_of(50, 101, 60), row_of(50, 102, 60), row_of(50, 103, 60)};
  for (std::size_t r = 0; r < 3; ++r) {
    rows[r].token[5] = -1;
    rows[r].token[20] = -2;
    rows[r].slots = {{FeatureRef::Kind::kItem, 4}, {FeatureRef::Kind::kUser, r < 2 ? 8 : 9}};
  }
  const auto to_pack = grouped(rows, 0);
  const RowPack pack = pack_rows(to_pack);
  expect_whole(pack, to_pack);
  EXPECT_EQ(pack.packed.tokens(), 20 + 30 + 10 + 10 + 40);  // of all, of the first two, and of each alone
  EXPECT_EQ(pack.slots.size(), 3U);
}

TEST(RowPack, IsTheRowWhereThereIsOne) {
  const EncodedRow row = row_of(9, 4, 12);
  const RowPack pack = pack_row(row, 11);
  EXPECT_EQ(pack.packed.tokens(), 11);
  EXPECT_EQ(pack.packed.rows(), 1);
  EXPECT_EQ(pack.packed.reach, std::vector<std::int64_t>{11});
}

}  // namespace
}  // namespace thinkrec
