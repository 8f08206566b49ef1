#include "report/status.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/file.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

TEST(StatusFile, SaysWhereARunIsAndHowItEnded) {
  const fs::path folder = fs::temp_directory_path() / ("thinkrec-status-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string path = (folder / "status.json").string();
  const auto read = [&] { return nlohmann::json::parse(read_file(path)); };
  StatusFile status(path);
  status.running("activate");
  EXPECT_EQ(read()["state"], "running");
  EXPECT_EQ(read()["stage"], "activate");
  status.step("activate/main", 7);  // too soon after the last to be written
  EXPECT_EQ(read()["step"], 0);
  status.ended("failed", 76, "3 steps were lost");
  EXPECT_EQ(read()["state"], "failed");
  EXPECT_EQ(read()["stage"], "activate/main");
  EXPECT_EQ(read()["step"], 7);
  EXPECT_EQ(read()["code"], 76);
  EXPECT_EQ(read()["reason"], "3 steps were lost");
  StatusFile::lost(path, "expert/1", 9, "rank 2 is stopped");
  EXPECT_EQ(read()["state"], "failed");
  EXPECT_EQ(read()["stage"], "expert/1");
  EXPECT_EQ(read()["step"], 9);
  EXPECT_EQ(read()["code"], 71);
  EXPECT_EQ(read()["reason"], "rank 2 is stopped");
  StatusFile::lost(path, "expert/1", 9, "rank 0 is gone");  // since the first alarm ended it
  EXPECT_EQ(read()["reason"], "rank 2 is stopped");
  StatusFile other(path, false);  // another rank than the first
  other.running("encode");
  other.step("encode", 3);
  other.ended("done", 0, "");
  EXPECT_EQ(read()["stage"], "expert/1");
  other.ended("failed", 70, "a defect");
  EXPECT_EQ(read()["stage"], "encode");
  EXPECT_EQ(read()["step"], 3);
  EXPECT_EQ(read()["code"], 70);
  const std::string time = read()["time"];
  EXPECT_EQ(time.size(), std::string("2026-01-31T23:59:59Z").size());
  status.running("expert");  // it has not heard yet
  EXPECT_EQ(read()["code"], 70);
  StatusFile next(path);
  {
    const testing::FileSizeLimit full(4);  // as a full disk: what was there stays
    next.running("start");
    next.ended("done", 0, "");
  }
  EXPECT_EQ(read()["code"], 70);
  next.running("start");  // a new job's first word
  EXPECT_EQ(read()["state"], "running");
  EXPECT_EQ(read()["code"], 0);
  StatusFile(path, false).ended("failed", 70, "a defect");
  EXPECT_EQ(read()["code"], 70);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  fs::remove_all(folder);
  status.ended("done", 0, "");  // a warning, no error
  EXPECT_FALSE(fs::exists(path));
  StatusFile("").running("nowhere");
}

}  // namespace
}  // namespace thinkrec
