#include "text/merge_table.h"

#include <chrono>

#include "text_testing.h"

namespace thinkrec {
namespace {

using namespace thinkrec::testing;

/// The definition: the leftmost pair of the lowest rank becomes one, until none has a rank.
Ids merge_plainly(const std::map<std::pair<std::int32_t, std::int32_t>, MergeTable::Merge>& merges, Ids ids) {
  while (true) {
    std::size_t best = ids.size();
    const MergeTable::Merge* found = nullptr;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto merge = merges.find({ids[i], ids[i + 1]});
      if (merge != merges.end() && (found == nullptr || merge->second.rank < found->rank)) best = i, found = &merge->second;
    }
    if (found == nullptr) return ids;
    ids[best] = found->result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

Ids merge(const MergeTable& table, Ids ids) {
  MergeScratch scratch;
  ids.resize(table.apply(ids, scratch));
  return ids;
}

TEST(MergeTable, LowestRankFirstLeftmostAmongEquals) {
  MergeTable table;
  table.set(1, 1, {5, 2});
  table.set(2, 1, {1, 3});
  EXPECT_EQ(merge(table, {}), Ids{});
  EXPECT_EQ(merge(table, {1}), Ids{1});
  EXPECT_EQ(merge(table, {1, 1, 1}), Ids{3});
  EXPECT_EQ(merge(table, {1, 1, 1, 1, 7, 1, 1}), (Ids{3, 1, 7, 2}));
  table.set(2, 1, {9, 4});  // the later merge of a pair counts
  EXPECT_EQ(merge(table, {1, 1, 1}), Ids{4});
  EXPECT_EQ(merge(table, {1, 1, 1, 1}), (Ids{2, 2}));
}

TEST(MergeTable, SameAsTheDefinition) {
  std::mt19937 random(17);
  MergeScratch scratch;  // one for all words
  for (int round = 0; round < 300; ++round) {
    // Tokens are strings over two letters, so that results of different merges coincide, as in a real vocabulary.
    std::vector<std::string> tokens = {"a", "b", "c"};
    std::map<std::string, std::int32_t> id = {{"a", 0}, {"b", 1}, {"c", 2}};
    std::map<std::pair<std::int32_t, std::int32_t>, MergeTable::Merge> merges;
    MergeTable table;
    std::vector<std::int32_t> ranks(60);
    std::iota(ranks.begin(), ranks.end(), 0);
    std::shuffle(ranks.begin(), ranks.end(), random);
    for (const std::int32_t rank : ranks) {
      const auto left = static_cast<std::int32_t>(random() % tokens.size()),
                 right = static_cast<std::int32_t>(random() % tokens.size());
      const std::string both = tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
      if (both.size() > 6) continue;
      const auto [place, is_new] = id.emplace(both, static_cast<std::int32_t>(tokens.size()));
      if (is_new) tokens.push_back(both);
      merges[{left, right}] = {rank, place->second};
      table.set(left, right, {rank, place->second});
    }
    for (int word = 0; word < 20; ++word) {
      Ids ids(random() % 40);
      for (auto& one : ids) one = static_cast<std::int32_t>(random() % 3);
      Ids ours = ids;
      ours.resize(table.apply(ours, scratch));
      ASSERT_EQ(ours, merge_plainly(merges, ids));
    }
  }
}

TEST(MergeTable, AMillionTokensDoNotTakeQuadraticTime) {
  MergeTable table;
  for (std::int32_t level = 0; level < 12; ++level) table.set(level, level, {level, level + 1});  // twice as long each time
  const auto begin = std::chrono::steady_clock::now();
  const Ids merged = merge(table, Ids(std::size_t{1} << 20, 0));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(merged, Ids(256, 12));
  EXPECT_LT(took.count(), 10.0);  // far from what n^2 would take, also under a sanitizer on a busy machine
  RecordProperty("seconds", std::to_string(took.count()));
}

}  // namespace
}  // namespace thinkrec
