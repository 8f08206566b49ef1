#include "checkpoint/writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

class CheckpointWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / ("thinkrec-writer-" + std::to_string(::getpid()))).string();
    store_.emplace(folder_, Identity{{"recipe", "aa"}}, 2);
    writer_.emplace(*store_);
  }
  void TearDown() override {
    writer_.reset();
    fs::remove_all(folder_);
  }
  /// A file where the folder should be: no save can succeed.
  void break_folder() {
    writer_->finish();
    fs::remove_all(folder_);
    std::ofstream(folder_) << "no folder";
  }
  void mend_folder() { fs::remove(folder_); }
  static Checkpoint made(std::int64_t step, float value = 1) { return {step, {}, {{"now/a", {2}, {value, 2}}}}; }
  static ExitCode code_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::kOk;
  }

  std::string folder_;
  std::optional<CheckpointStore> store_;
  std::optional<CheckpointWriter> writer_;
};

TEST_F(CheckpointWriterTest, WritesInOrderAndFinishWaits) {
  for (std::int64_t step = 1; step <= 9; ++step) writer_->save(made(step, static_cast<float>(step)));
  writer_->finish();
  const auto back = store_->load_latest();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->step, 9);
  EXPECT_EQ(back->tensors[0].values[0], 9);
  writer_->finish();  // nothing is under way
}

TEST_F(CheckpointWriterTest, TheEndOfTheWriterWaits) {
  writer_->save(made(4));
  writer_.reset();
  EXPECT_EQ(store_->load_latest()->step, 4);
}

TEST_F(CheckpointWriterTest, OneFailureIsAWarningTwoInARowAnError) {
  break_folder();
  writer_->save(made(1));
  EXPECT_EQ(code_of([&] { writer_->save(made(2)); }), ExitCode::kOk);
  EXPECT_EQ(code_of([&] { writer_->save(made(3)); }), ExitCode::kIo);
}

TEST_F(CheckpointWriterTest, ASaveThatSucceedsForgivesTheOneBefore) {
  for (std::int64_t step = 1; step <= 4; step += 2) {
    break_folder();
    writer_->save(made(step));
    writer_->save(made(step));  // waits for the first, and warns
    EXPECT_EQ(code_of([&] { writer_->finish(); }), ExitCode::kIo);
    mend_folder();
    writer_->save(made(step + 1));
    writer_->finish();
    EXPECT_EQ(store_->load_latest()->step, step + 1);
  }
}

TEST_F(CheckpointWriterTest, TheLastSaveMustNotFail) {
  break_folder();
  writer_->save(made(1));
  EXPECT_EQ(code_of([&] { writer_->finish(); }), ExitCode::kIo);
}

TEST_F(CheckpointWriterTest, WhatIsNotFiniteIsNeverSaved) {
  writer_->save(made(1));
  for (const float value : {std::nanf(""), INFINITY}) {
    writer_->save(made(2, value));
    EXPECT_EQ(code_of([&] { writer_->save(made(3)); }), ExitCode::kDiverged);
  }
  EXPECT_EQ(store_->load_latest()->step, 1);
}

}  // namespace
}  // namespace thinkrec
