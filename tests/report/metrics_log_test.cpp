#include "report/metrics_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/error.h"
#include "io/file.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

using nlohmann::json;

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(json::parse(line));
  return result;
}

TEST(MetricsLog, WritesOneLineAStep) {
  const testing::TempFolder folder;
  MetricsLog log(folder.file("metrics.jsonl"), true);
  log.write("activate/text", 3, {{"loss", 0.5}, {"bad", std::numeric_limits<double>::quiet_NaN()}, {"step", 99}});
  const auto now = lines_of(folder.read("metrics.jsonl"));  // before the log is closed: every line is flushed
  ASSERT_EQ(now.size(), 1U);
  EXPECT_EQ(now[0]["stage"], "activate/text");
  EXPECT_EQ(now[0]["step"], 3);
  EXPECT_EQ(now[0]["loss"], 0.5);
  EXPECT_TRUE(now[0]["bad"].is_null());
  EXPECT_GT(now[0]["time"].get<double>(), 1.7e9);
  EXPECT_EQ(folder.read("metrics.jsonl").find("{\"stage\":\"activate/text\",\"step\":3,\"time\":"), 0U);
}

TEST(MetricsLog, OtherRanksDoNothing) {
  const testing::TempFolder folder;
  MetricsLog log(folder.file("metrics.jsonl"), false);
  log.write("a", 1, {{"loss", 1}});
  log.resume("a", 0);
  EXPECT_FALSE(std::filesystem::exists(folder.file("metrics.jsonl")));
}

TEST(MetricsLog, ResumeDropsLaterStepsOfTheStageOnly) {
  const testing::TempFolder folder;
  {
    MetricsLog log(folder.file("m"), true);
    for (int step = 1; step <= 5; ++step) log.write("a", step, {{"loss", step}});
    for (int step = 1; step <= 5; ++step) log.write("b", step, {{"loss", step}});
  }
  folder.put("m", folder.read("m") + "nonsense\n{\"note\": 1}\n{\"stage\": \"b\", \"st");
  MetricsLog log(folder.file("m"), true);
  EXPECT_EQ(folder.read("m").back(), '\n') << "the half-written line is cut off";
  log.resume("b", 2);
  log.write("b", 3, {});
  const auto lines = lines_of(folder.read("m"));
  std::vector<std::string> found;
  for (const auto& line : lines)
    found.push_back(line.contains("stage") ? line["stage"].get<std::string>() + line["step"].dump() : "note");
  EXPECT_EQ(found, (std::vector<std::string>{"a1", "a2", "a3", "a4", "a5", "b1", "b2", "note", "b3"}));
}

TEST(MetricsLog, WhatThatStepMakesAgainGoesToo) {
  const testing::TempFolder folder;
  MetricsLog log(folder.file("m"), true);
  for (const char* stage : {"a", "b"}) {
    for (int step = 1; step <= 2; ++step) {
      log.write(stage, step, {{"loss", step}});
      log.write(stage, step, {{"valid_auc", 0.5}});
    }
  }
  log.resume("a", 2);
  EXPECT_EQ(lines_of(folder.read("m")).size(), 8U);
  log.resume("a", 2, "valid_auc");
  const auto lines = lines_of(folder.read("m"));
  ASSERT_EQ(lines.size(), 7U);
  EXPECT_TRUE(lines[1].contains("valid_auc") && lines[2].contains("loss")) << "that of step 1, and the step itself";
  EXPECT_EQ(lines[3]["stage"], "b");
}

TEST(MetricsLog, KilledAnywhereAndRestartedEachStepIsThereOnce) {
  const testing::TempFolder folder;
  {
    MetricsLog log(folder.file("m"), true);
    for (int step = 1; step <= 6; ++step) log.write("a", step, {{"loss", 0.25}});
  }
  const auto whole = folder.read("m");
  for (std::size_t length = 0; length <= whole.size(); length += 7) {
    folder.put("m", whole.substr(0, length));
    const auto kept = std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length), '\n');
    const std::int64_t checkpoint = kept / 2 * 2;  // saved every second step
    MetricsLog log(folder.file("m"), true);
    log.resume("a", checkpoint);
    for (std::int64_t step = checkpoint + 1; step <= 6; ++step) log.write("a", step, {{"loss", 0.25}});
    std::multiset<std::int64_t> steps;
    for (const auto& line : lines_of(folder.read("m"))) steps.insert(line["step"].get<std::int64_t>());
    EXPECT_EQ(steps, (std::multiset<std::int64_t>{1, 2, 3, 4, 5, 6})) << length;
  }
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path().string());
  return files;
}

TEST(MetricsLog, TheBoardHasTheSameStepsAfterAResume) {
  testing::TempFolder folder;
  const std::string board = folder.file("board");
  {
    MetricsLog log(folder.file("m"), true, board);
    log.write("a", 1, {{"kept", 1.0}});
    log.write("a", 2, {{"dropped", 2.0}});
  }
  MetricsLog log(folder.file("m"), true, board);
  log.resume("a", 1);
  log.write("a", 2, {{"again", 3.0}});
  const auto files = event_files(board);
  ASSERT_EQ(files.size(), 1U);
  const std::string events = read_file(files[0]);
  EXPECT_NE(events.find("a/kept"), std::string::npos);
  EXPECT_EQ(events.find("a/dropped"), std::string::npos);
  EXPECT_NE(events.find("a/again"), std::string::npos);
}

TEST(MetricsLog, TheFilesOfTeamsAreGatheredOnce) {
  const testing::TempFolder folder;
  const std::string path = folder.file("metrics.jsonl");
  MetricsLog log(path, true);
  log.write("expert/0", 1, {{"loss", 0.5}});
  EXPECT_EQ(MetricsLog::team_path("run/metrics.jsonl", 3), "run/metrics.team-3.jsonl");
  for (const int team : {1, 2}) {
    MetricsLog of_team(MetricsLog::team_path(path, team), true);
    for (int step = 1; step <= 2; ++step) of_team.write("expert/" + std::to_string(team), step, {{"loss", 0.25}});
  }
  folder.put("metrics.team-2.jsonl", folder.read("metrics.team-2.jsonl") + "{\"stage\": \"expert/2\", \"st");
  const std::string of_team_1 = folder.read("metrics.team-1.jsonl");
  EXPECT_EQ(MetricsLog::team_paths(path).size(), 2U);
  const auto names = [&] {
    std::vector<std::string> found;
    for (const auto& line : lines_of(folder.read("metrics.jsonl")))
      found.push_back(line["stage"].get<std::string>() + "/" + line["step"].dump());
    return found;
  };
  log.gather();
  const std::vector<std::string> all = {"expert/0/1", "expert/1/1", "expert/1/2", "expert/2/1", "expert/2/2"};
  EXPECT_EQ(names(), all);
  EXPECT_TRUE(MetricsLog::team_paths(path).empty());
  folder.put("metrics.team-1.jsonl", of_team_1);  // killed after the lines were moved, before the file was removed
  log.gather();
  EXPECT_EQ(names(), all);
  EXPECT_TRUE(MetricsLog::team_paths(path).empty());
  log.write("expert/0", 2, {});
  EXPECT_EQ(names().back(), "expert/0/2") << "it goes on at the end of the file that took its place";
}

TEST(MetricsLog, WithoutAFolderThereIsNoBoard) {
  testing::TempFolder folder;
  MetricsLog log(folder.file("m"), true);
  log.write("a", 1, {{"x", 1.0}});
  EXPECT_EQ(event_files(folder.file("")).size(), 1U);
}

TEST(MetricsLog, FailuresNameTheFile) {
  const testing::TempFolder folder;
  try {
    MetricsLog log(folder.file("no/such/folder/m"), true);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kIo);
    EXPECT_NE(std::string(error.what()).find("no/such/folder/m"), std::string::npos);
  }
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  std::filesystem::create_symlink("/dev/full", folder.file("full"));
  MetricsLog log(folder.file("full"), true);
  EXPECT_THROW(log.write("a", 1, {}), Error);
}

}  // namespace
}  // namespace thinkrec
