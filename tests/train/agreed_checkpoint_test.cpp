#include "train/agreed_checkpoint.h"

#include <filesystem>

#include "io/file.h"
#include "support/mpi_world.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

/// Each rank has a folder of its own here, as if each saw another state of a shared one.
class AgreedCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::int64_t step : {1, 2, 3}) store_.save({step, {{"done", false}}, {{"a", {1}, {static_cast<float>(step)}}}});
  }
  void damage(std::int64_t step) const { fs::resize_file(fs::path(store_.folder()) / fmt::format("step-{}/state.h5", step), 7); }

  testing::TempFolder folder_;
  CheckpointStore store_{folder_.file("stage"), {{"recipe", "aa"}}, 3};
};

TEST_F(AgreedCheckpoint, IsThatOfRankZero) {
  EXPECT_EQ(load_latest(store_, test_world())->step, 3);
  if (test_world().rank() == 0) damage(3);
  const auto found = load_latest(store_, test_world());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 2);
  EXPECT_EQ(found->tensors[0].values[0], 2.0F);
  if (test_world().rank() == 0) damage(2), damage(1);
  EXPECT_FALSE(load_latest(store_, test_world()));
}

TEST_F(AgreedCheckpoint, EndsEveryRankWhenOneCannotReadIt) {
  if (test_world().size() == 1) return;
  const bool last = test_world().rank() == test_world().size() - 1;
  if (last) damage(3);
  testing::expect_error(ExitCode::kIo, last ? "state.h5: damaged" : "another rank cannot read step 3",
                        [&] { load_latest(store_, test_world()); });
}

TEST_F(AgreedCheckpoint, ThrowsRankZerosErrorEverywhere) {
  const CheckpointStore other(folder_.file("stage"), {{"recipe", "bb"}}, 3);
  testing::expect_error(ExitCode::kBadData, "belongs to another recipe", [&] { load_latest(other, test_world()); });
}

}  // namespace
}  // namespace thinkrec
