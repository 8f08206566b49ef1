#include "data/formats/fields.h"

#include "core/utf8.h"
#include "data/data_testing.h"

namespace thinkrec {
namespace {

TEST(Fields, NormalizeKeywords) {
  EXPECT_EQ(normalize_keywords(""), "");
  EXPECT_EQ(normalize_keywords(" , |,"), "");
  EXPECT_EQ(normalize_keywords("(no genres listed)"), "");
  EXPECT_EQ(normalize_keywords("Drama"), "Drama");
  EXPECT_EQ(normalize_keywords("Animation|Children's|Comedy"), "Animation, Children's, Comedy");
  EXPECT_EQ(normalize_keywords(" slow  cooking ,bread,, bread , wine"), "slow cooking, bread, wine");
  EXPECT_EQ(normalize_keywords("1,2,3,4,5,6,7,8,9,10,11,12"), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
  EXPECT_EQ(normalize_keywords("Action Sci-Fi  War ", KeywordSeparator::kSpace), "Action, Sci-Fi, War");
}

TEST(Fields, ItemProfile) {
  EXPECT_EQ(item_profile("", ""), "");
  EXPECT_EQ(item_profile("War  Film", ""), "Category: War Film");
  EXPECT_EQ(item_profile("", "About\na war."), "Description: About a war.");
  EXPECT_EQ(item_profile("War", "About a war."), "Category: War. Description: About a war.");
  EXPECT_EQ(item_profile("War, etc.", "About."), "Category: War, etc. Description: About.");
  std::string words = "w0";
  for (int i = 1; i < 99; ++i) words += fmt::format(" w{}", i);
  EXPECT_EQ(item_profile("", words), "Description: " + words);
  EXPECT_EQ(item_profile("", words + " w99 w100"), "Description: " + words);  // 100 with the first
}

TEST(Fields, StripYear) {
  EXPECT_EQ(strip_year("Heat (1995)"), "Heat");
  EXPECT_EQ(strip_year("Sting, The (1973)"), "Sting, The");
  EXPECT_EQ(strip_year("(1995)"), "(1995)");
  EXPECT_EQ(strip_year(" (1995)"), " (1995)");  // nothing would be left
  EXPECT_EQ(strip_year("Heat (95)"), "Heat (95)");
  EXPECT_EQ(strip_year("Heat (199x)"), "Heat (199x)");
  EXPECT_EQ(strip_year("Heat(1995)"), "Heat(1995)");
  EXPECT_EQ(strip_year("2001"), "2001");
}

TEST(Fields, Tidy) {
  EXPECT_EQ(tidy("  a\t b\r\nc "), "a b c");
  EXPECT_EQ(tidy(" \n"), "");
}

TEST(Fields, Utf8) {
  for (const char* good : {"", "abc", "\u00e9", "\u20ac", "\U0001F600", "\u07ff", "\ud7ff", "\ue000"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe9z", "\xe2\x28\xa1"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
  EXPECT_EQ(from_latin1("Mis\xe9rables, Les"), "Mis\u00e9rables, Les");
  EXPECT_EQ(from_latin1("Mis\u00e9rables"), "Mis\u00e9rables");
  EXPECT_EQ(from_latin1("\xff"), "\u00ff");
}

TEST(Fields, WithoutType) {
  EXPECT_EQ(without_type("movie_title:token_seq"), "movie_title");
  EXPECT_EQ(without_type("title"), "title");
}

TEST(Fields, Timestamps) {
  const Folder folder;
  folder.write("t.csv", "t\n881250949\n964982703.75\n-1.0\n9007199254740993\n1e300\nsoon\nnan\n45000.25\n-1.5\n");
  CsvReader file(folder.path("t.csv"), {});
  for (const std::int64_t expected :
       {std::int64_t{881250949}, std::int64_t{964982703}, std::int64_t{-1}, std::int64_t{9007199254740993}}) {
    ASSERT_TRUE(file.next());
    EXPECT_EQ(read_timestamp(file, 0), expected);
  }
  for (const char* place : {"t.csv:6", "t.csv:7", "t.csv:8", "t.csv:9: the timestamp '45000.25' has a fraction", "t.csv:10"}) {
    ASSERT_TRUE(file.next());
    expect_error(ExitCode::kBadData, {place}, [&] { read_timestamp(file, 0); });
  }
}

TEST(Fields, Columns) {
  const Folder folder;
  folder.write("c.csv", "user_id:token,rating:float,x,x\n1,2,3,4\n");
  const CsvReader file(folder.path("c.csv"), {});
  EXPECT_EQ(find_column(file, "", "user_id", "--user-column", true), 0u);
  EXPECT_EQ(find_column(file, "rating:float", "score", "--rating-column"), 1u);
  expect_error(ExitCode::kBadData, {"c.csv", "'user_id'", "user_id:token, rating:float, x, x", "--user-column"},
               [&] { find_column(file, "", "user_id", "--user-column"); });
  expect_error(ExitCode::kBadData, {"'x' is there twice"}, [&] { find_column(file, "x", "", "--user-column"); });
  EXPECT_FALSE(find_optional_column(file, "", "keywords", "--keywords-column"));
  expect_error(ExitCode::kBadData, {"'tags'", "--keywords-column"},
               [&] { find_optional_column(file, "tags", "keywords", "--keywords-column"); });
}

TEST(Fields, FilesAndTheirHash) {
  const Folder folder;
  folder.write_gzip("a.csv.gz", "zipped");
  EXPECT_EQ(find_plain_or_gzip(folder.path(), "a.csv"), folder.path("a.csv.gz"));
  folder.write("a.csv", "plain");
  EXPECT_EQ(find_plain_or_gzip(folder.path(), "a.csv"), folder.path("a.csv"));
  expect_error(ExitCode::kNoInput, {folder.path(), "b.csv", "b.csv.gz", "--input"},
               [&] { find_plain_or_gzip(folder.path(), "b.csv"); });

  const std::string hash = hash_files({folder.path("a.csv"), folder.path("a.csv.gz")});
  EXPECT_EQ(hash.size(), 64u);
  EXPECT_NE(hash, hash_files({folder.path("a.csv.gz"), folder.path("a.csv")}));
  folder.write("a.csv", "plaim");
  EXPECT_NE(hash, hash_files({folder.path("a.csv"), folder.path("a.csv.gz")}));
}

}  // namespace
}  // namespace thinkrec
