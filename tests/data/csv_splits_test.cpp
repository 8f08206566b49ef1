// Ready-made splits: read as they are, with their histories held against the rows.

#include "core/joined.h"
#include "data/data_testing.h"

namespace thinkrec {
namespace {

class CsvSplits : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("items.csv", "item_id,title,keywords\n3,Three,\n1,\"One, The (1995)\",a|b\n2,Two,\n4,Four,\n");
    write("train", {"0,7,1,1,10,,,,1", "1,7,2,0,20,1,1,1,1", "4,5,2,1,15,,,,1"});
    write("valid", {"5,5,3,0,25,2,2,1,0", "2,7,3,1,20,1,1 2,1 0,1"});
    write("test", {"3,7,1,1,40,1 3,1 2 3,1 0 1,1"});
  }
  void write(const std::string& split, const std::vector<std::string>& lines) const {
    folder_.write(split + ".csv",
                  fmt::format("row,user_id,item_id,label,timestamp,history_pos,history_all,history_all_label,not_cold\n{}\n",
                              joined(lines, "\n")));
  }
  Dataset read() const { return prepare(options_for("csv", folder_)); }
  void refuse(const std::string& split, const std::vector<std::string>& lines, const std::vector<std::string>& parts) {
    write(split, lines);
    expect_error(ExitCode::kBadData, parts, [&] { read(); });
    SetUp();
  }
  Folder folder_;
};

TEST_F(CsvSplits, Reads) {
  const Dataset d = read();
  EXPECT_EQ(d.threshold, 1);  // the labels are given
  EXPECT_EQ(d.users, (std::vector<std::string>{"7", "5"}));
  ASSERT_EQ(d.items.size(), 3u);
  EXPECT_EQ(d.items[0].id, "3");
  EXPECT_EQ(d.items[1].title, "One, The (1995)");
  EXPECT_EQ(d.items[1].keywords, "a, b");
  EXPECT_EQ(d.user, (std::vector<std::int32_t>{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(d.item, (std::vector<std::int32_t>{1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(d.label, (std::vector<std::uint8_t>{1, 0, 1, 1, 1, 0}));
  EXPECT_EQ(d.timestamp, (std::vector<std::int64_t>{10, 20, 20, 40, 15, 25}));
  EXPECT_EQ(d.rows(Split::kTrain), (std::vector<std::int64_t>{0, 1, 4}));
  EXPECT_EQ(d.rows(Split::kValid), (std::vector<std::int64_t>{5, 2}));  // in the order of the file
  EXPECT_EQ(d.rows(Split::kTest), (std::vector<std::int64_t>{3}));
}

TEST_F(CsvSplits, SplitsThatRunBackwardsAreWarnedOf) {
  const auto warning = [&] {
    testing::internal::CaptureStderr();
    read();
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(warning().find("follow rows of a later split"), std::string::npos);
  write("valid", {"0,7,1,1,10,,,,1", "2,7,3,1,20,1,1 2,1 0,1"});
  write("train", {"1,7,2,0,20,1,1,1,1", "4,5,2,1,15,,,,1", "5,5,3,0,25,2,2,1,0"});
  EXPECT_NE(warning().find("1 rows, "), std::string::npos);
  EXPECT_NE(warning().find("train.csv: row 1 the first, follow rows of a later split of the same user"), std::string::npos);
}

TEST_F(CsvSplits, HistoriesAreOptional) {
  const Dataset with = read();
  const char* header = "row,user_id,item_id,label,timestamp\n";
  folder_.write("train.csv", std::string(header) + "0,7,1,1,10\n1,7,2,0,20\n4,5,2,1,15\n");
  folder_.write_gzip("valid.csv.gz", std::string(header) + "5,5,3,0,25\n2,7,3,1,20\n");
  folder_.remove("valid.csv");
  folder_.write("test.csv", std::string(header) + "3,7,1,1,40\n");
  Dataset without = read();
  without.source_hash = with.source_hash;
  expect_equal(without, with);
}

TEST_F(CsvSplits, WrongHistoriesAreRefused) {
  refuse("test", {"3,7,1,1,40,1 3,1 2,1 0 1,1"},
         {"test.csv:2", "history_all has 2 entries", "3 earlier rows", "remove the columns"});
  refuse("test", {"3,7,1,1,40,1 3,1 2 3 1,1 0 1,1"}, {"test.csv:2", "history_all has 4 entries"});
  refuse("test", {"3,7,1,1,40,1 3,0 1 2 3,1 0 1,1"}, {"test.csv:2", "entry 1 of history_all is '0'", "'1'"});
  refuse("test", {"3,7,1,1,40,1 3,1 3 2,1 0 1,1"}, {"test.csv:2", "entry 2 of history_all is '3'", "'2'"});
  refuse("test", {"3,7,1,1,40,1 3,1 2 3,1 1 1,1"}, {"test.csv:2", "entry 2 of history_all_label is '1'", "'0'"});
  refuse("test", {"3,7,1,1,40,1 3,1 2 3,,1"}, {"test.csv:2", "history_all_label has 0 entries"});
  refuse("valid", {"5,5,3,0,25,2,2,1,0", "2,7,3,1,20,1,1 2 3,1 0 1,1"},
         {"valid.csv:3", "history_all has 3 entries", "2 earlier rows"});
  refuse("train", {"0,7,1,1,10,,2,,1", "1,7,2,0,20,1,1,1,1", "4,5,2,1,15,,,,1"},
         {"train.csv:2", "history_all has 1 entries", "0 earlier rows"});
}

TEST_F(CsvSplits, Refusals) {
  refuse("test", {"3,7,9,1,40,,1 2 3,1 0 1,1"}, {"test.csv:2", "'9' is not in", "items.csv"});
  refuse("test", {"3,7,1,2,40,,1 2 3,1 0 1,1"}, {"test.csv:2", "the label is 2", "0 or 1"});
  refuse("test", {"3,7,1,0.5,40,,1 2 3,1 0 1,1"}, {"test.csv:2", "label", "'0.5'"});
  refuse("test", {"2,7,1,1,40,,1 2 3,1 0 1,1"}, {"test.csv: row 2 is there a second time", "valid.csv"});
  refuse("test", {"6,7,1,1,40,,1 2 3,1 0 1,1"}, {"test.csv: row 6", "user '7' do not follow each other"});
  refuse("test", {"3,7,1,1,19,,1 2 3,1 0 1,1"}, {"test.csv: row 3", "user '7' is at an earlier time than in row 2"});
  refuse("test", {}, {"test.csv", "the test split is empty"});
  folder_.write("valid.csv", "user_id,item_id,label,timestamp\n7,1,1,1\n");
  expect_error(ExitCode::kBadData, {"valid.csv:1", "'row'", "user_id, item_id, label, timestamp"}, [&] { read(); });
  folder_.write("valid.csv", "row,user_id,item_id,rating,timestamp\n7,1,1,1,1\n");
  expect_error(ExitCode::kBadData, {"valid.csv:1", "'label'", "row, user_id, item_id, rating, timestamp", "--rating-column"},
               [&] { read(); });
  folder_.remove("valid.csv");
  expect_error(ExitCode::kNoInput, {"neither valid.csv nor valid.csv.gz", "--input"}, [&] { read(); });
  PrepareOptions options = options_for("csv", folder_);
  options.unknown_items = UnknownItems::kDrop;
  expect_error(ExitCode::kConfig, {"--unknown-items drop", "csv"}, [&] { prepare(options); });
  options = options_for("csv", folder_);
  SetUp();
  options.min_interactions = 1;
  expect_error(ExitCode::kConfig, {"ready-made splits cannot be filtered"}, [&] { prepare(options); });
  options.min_interactions = 0;
  options.window_start = 1;
  expect_error(ExitCode::kConfig, {"ready-made splits cannot be filtered"}, [&] { prepare(options); });
}

}  // namespace
}  // namespace thinkrec
