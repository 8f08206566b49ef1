#include "eval/score_file.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "support/testing.h"

namespace thinkrec {
namespace {

class ScoreFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const { return folder_.put(name, text); }
  testing::TempFolder folder_;
};

using testing::expect_error;

TEST_F(ScoreFiles, AreReadByRowOfTheAskedModelOrTheLast) {
  const std::string path = write("a.csv", "row,user,item,label,global,expert:1\n7,u2,i,0,.25,-1\n3,\"u,1\",i,1,.5,2e1\n");
  const ScoreFile last = read_score_file(path), global = read_score_file(path + ":global");
  EXPECT_EQ(last.row, (std::vector<std::int64_t>{3, 7}));
  EXPECT_EQ(last.user, (std::vector<std::string>{"u,1", "u2"}));
  EXPECT_EQ(last.label, (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(last.score, (std::vector<double>{20, -1}));
  EXPECT_EQ(global.score, (std::vector<double>{.5, .25}));
  EXPECT_EQ(read_score_file(path + ":expert:1").score, last.score);
  EXPECT_EQ(last.name, path + ":expert:1");
}

TEST_F(ScoreFiles, MayBeCompressed) {
  const std::string path = folder_.file("a.csv.gz"), text = "row,user,item,label,fused\n1,a,b,1,3\n";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  EXPECT_EQ(read_score_file(path + ":fused").score, std::vector<double>{3});
}

TEST_F(ScoreFiles, RefuseWhatIsNoScore) {
  expect_error(ExitCode::kNoInput, "nowhere.csv", [&] { read_score_file(folder_.file("nowhere.csv")); });
  const std::string head = "row,user,item,label,fused\n";
  expect_error(ExitCode::kBadData, "fused", [&] { read_score_file(write("a.csv", head) + ":global"); });
  expect_error(ExitCode::kBadData, "has no rows", [&] { read_score_file(write("b.csv", head)); });
  expect_error(ExitCode::kBadData, "c.csv:2: label 2", [&] { read_score_file(write("c.csv", head + "1,a,b,2,1\n")); });
  expect_error(ExitCode::kBadData, "d.csv:2", [&] { read_score_file(write("d.csv", head + "1,a,b,1,x\n")); });
  expect_error(ExitCode::kBadData, "row 1 comes twice",
               [&] { read_score_file(write("e.csv", head + "1,a,b,1,1\n2,a,b,1,1\n1,a,b,1,1\n")); });
}

TEST_F(ScoreFiles, AreComparedOnTheRowsThatAllHave) {
  const std::string head = "row,user,item,label,fused\n";
  // Row 9 is only in the first, row 1 only in the second. On the others one is always right, the other wrong for u.
  const ScoreFile good = read_score_file(write("good.csv", head + "2,u,a,1,2\n3,u,b,0,1\n4,v,a,1,2\n5,v,b,0,1\n9,v,c,1,0\n"));
  const ScoreFile bad = read_score_file(write("bad.csv", head + "5,v,b,0,1\n4,v,a,1,2\n3,u,b,0,3\n2,u,a,1,0\n1,u,z,1,9\n"));
  const Comparison both = compare_scores(std::vector{good, bad}, 5, 50, 1);
  EXPECT_EQ(both.rows, 4);
  EXPECT_EQ(both.users, 2);
  ASSERT_EQ(both.models.size(), 2u);
  EXPECT_EQ(both.models[0].metrics.uauc, 1);
  EXPECT_EQ(both.models[1].metrics.uauc, 0.5);
  EXPECT_EQ(both.models[0].difference.uauc, 0);
  EXPECT_EQ(both.models[1].difference.uauc, -0.5);
  EXPECT_LE(both.models[1].difference.interval.uauc.low, -0.5);
}

TEST_F(ScoreFiles, BringTheirCountingBaselines) {
  const std::string path = write("a.csv", "row,user,item,label,item_mean,logistic,fused\n1,u,a,1,.5,.25,2\n");
  const ScoreFile fused = read_score_file(path), mean = read_score_file(path + ":item_mean");
  const auto both = counting_baselines(std::vector{fused});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].score, std::vector<double>{.5});
  EXPECT_EQ(both[1].name, path + ":logistic");
  EXPECT_EQ(counting_baselines(std::vector{fused, mean}).size(), 1U);
  const ScoreFile alone = read_score_file(write("b.csv", "row,user,item,label,fused\n1,u,a,1,2\n"));
  EXPECT_TRUE(counting_baselines(std::vector{alone}).empty());
}

TEST_F(ScoreFiles, OfOtherDataSetsAreNotCompared) {
  const std::string head = "row,user,item,label,fused\n";
  const auto file = [&](const std::string& name, const std::string& rows) { return read_score_file(write(name, head + rows)); };
  const ScoreFile one = file("a.csv", "1,u,a,1,2\n2,u,b,0,1\n");
  const auto compare = [&](const ScoreFile& other) { compare_scores(std::vector{one, other}, 5, 10, 1); };
  expect_error(ExitCode::kUsage, "two files", [&] { compare_scores(std::vector{one}, 5, 10, 1); });
  expect_error(ExitCode::kBadData, "no row in common", [&] { compare(file("b.csv", "3,u,a,1,2\n")); });
  expect_error(ExitCode::kBadData, "row 2 of", [&] { compare(file("c.csv", "2,v,a,0,2\n")); });
  expect_error(ExitCode::kBadData, "row 2 of", [&] { compare(file("d.csv", "2,u,a,1,2\n")); });
}

}  // namespace
}  // namespace thinkrec
