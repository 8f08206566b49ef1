// Which rows an expert is trained and selected on.
#include <gtest/gtest.h>

#include "train/stages.h"

namespace thinkrec {
namespace {

/// Four users, a group each, with two train rows; their valid rows are of both labels, liked, disliked and none.
struct World {
  Dataset dataset;
  Grouping grouping;
  std::vector<std::int64_t> train, valid;

  World() {
    const std::vector<std::vector<int>> valid_labels = {{0, 1}, {1, 1}, {0, 0}, {}};
    grouping.groups = 4;
    for (std::int32_t user = 0; user < 4; ++user) {
      grouping.group_of_user.push_back(user);
      for (const int label : {0, 1}) add(user, label, train);
      for (const int label : valid_labels[static_cast<std::size_t>(user)]) add(user, label, valid);
    }
    dataset.reasons = {{train[0], "Yes. It is.", "{}"}, {train[2], "No. It is not.", "{}"}};
  }
  void add(std::int32_t user, int label, std::vector<std::int64_t>& rows) {
    rows.push_back(static_cast<std::int64_t>(dataset.user.size()));
    dataset.user.push_back(user);
    dataset.label.push_back(static_cast<std::uint8_t>(label));
  }
  /// The group's rows, and what is said of them.
  std::pair<PhaseRows, std::string> rows_of(int group) const {
    ::testing::internal::CaptureStderr();
    PhaseRows rows = group_rows(dataset, grouping, group, train, valid);
    return {std::move(rows), ::testing::internal::GetCapturedStderr()};
  }
};

TEST(GroupRows, AreTheGroupsOwn) {
  const World world;
  const auto [rows, said] = world.rows_of(0);
  EXPECT_EQ(rows.train, (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(rows.valid, (std::vector<std::int64_t>{2, 3}));
  ASSERT_EQ(rows.reasons.size(), 1U);
  EXPECT_EQ(rows.reasons[0]->row, 0);
  EXPECT_EQ(said, "");
}

TEST(GroupRows, AreSelectedOnAllWithoutValidRowsOfBothLabels) {
  const World world;
  for (const auto& [group, what] : {std::pair(1, "only liked"), std::pair(2, "only disliked"), std::pair(3, "no")}) {
    const auto [rows, said] = world.rows_of(group);
    EXPECT_EQ(rows.valid, world.valid);
    EXPECT_EQ(rows.train.size(), 2U);
    const std::string line = fmt::format("group {} has {} valid rows; its expert is selected on all", group, what);
    EXPECT_NE(said.find(line), std::string::npos) << said;
  }
}

TEST(GroupRows, AreDrawnFromAllWhereTheGroupHasNone) {
  World world;
  world.grouping.groups = 5;
  const auto [rows, said] = world.rows_of(4);
  EXPECT_EQ(rows.train, world.train);
  EXPECT_EQ(rows.valid, world.valid);
  EXPECT_EQ(rows.reasons.size(), 2U);
  EXPECT_NE(said.find("group 4 has no train rows; its expert draws from all"), std::string::npos) << said;
}

}  // namespace
}  // namespace thinkrec
