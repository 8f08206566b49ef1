#include "report/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/error.h"

namespace thinkrec {
namespace {

TEST(Table, Widths) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("é"), 1U);
  EXPECT_EQ(display_width("e\xCC\x81"), 1U);
  EXPECT_EQ(display_width("映画"), 4U);
  EXPECT_EQ(display_width("😀"), 2U);
  EXPECT_EQ(display_width("±"), 1U);
  EXPECT_EQ(display_width("\xff\xfe"), 2U);
  EXPECT_EQ(display_width("a\xe6"), 2U);
}

TEST(Table, Clips) {
  EXPECT_EQ(clip_to_width("abcdef", 6), "abcdef");
  EXPECT_EQ(clip_to_width("abcdef", 4), "abc…");
  EXPECT_EQ(clip_to_width("映画映画", 4), "映…");
  EXPECT_EQ(clip_to_width("abc", 0), "");
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (unsigned n = random() % 12; n > 0; --n) text += static_cast<char>(random() % 256);
    const std::size_t width = random() % 10;
    EXPECT_LE(display_width(clip_to_width(text, width)), width);
  }
}

TEST(Table, AlignsNumbersRightAndTextLeft) {
  Table table({"model", "AUC", "note"});
  table.add_row({"映画", "0.7421", "best"});
  table.add_row({"a longer name", "-", "x"});
  table.add_rule();
  table.add_row({"b", "10.5 % [1, 2]"});
  EXPECT_EQ(table.text(),
            "model                    AUC  note\n"
            "──────────────────────────────────\n"
            "映画                  0.7421  best\n"
            "a longer name              -  x\n"
            "──────────────────────────────────\n"
            "b              10.5 % [1, 2]\n");
}

TEST(Table, NoRows) { EXPECT_EQ(Table({"a", "b"}).text(), "a  b\n────\n"); }

TEST(Table, RowsThatDoNotFitAreDefects) {
  Table table({"a"});
  EXPECT_THROW(table.add_row({"1", "2"}), Error);
  EXPECT_THROW(table.add_row({}), Error);
}

TEST(Table, Numbers) {
  EXPECT_EQ(format_number(0.66734, 4), "0.6673");
  EXPECT_EQ(format_number(std::nan(""), 4), "-");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(-123), "-123");
  EXPECT_EQ(format_count(INT64_MIN), "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace thinkrec
