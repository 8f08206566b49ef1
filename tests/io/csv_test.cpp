#include "io/csv.h"

#include <zlib.h>

#include <random>

#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::TempFolder;

std::string gzip(const std::string& bytes, const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> lines(const std::string& path) {
  LineReader reader(path);
  std::vector<std::string> all;
  for (std::string line; reader.next(line);) {
    all.push_back(line);
    EXPECT_EQ(reader.line_number(), static_cast<std::int64_t>(all.size()));
  }
  return all;
}

using Record = std::vector<std::string>;

std::vector<Record> records(const std::string& path, const CsvFormat& format) {
  CsvReader reader(path, format);
  std::vector<Record> all;
  for (std::size_t width = reader.columns().size(); reader.next();) {
    Record record;
    for (std::size_t i = 0; i < width; ++i) record.emplace_back(reader.field(i));
    all.push_back(record);
  }
  return all;
}

TEST(LineReader, EndsOfLines) {
  const TempFolder folder;
  EXPECT_EQ(lines(folder.put("f", "")), (Record{}));
  EXPECT_EQ(lines(folder.put("f", "a")), (Record{"a"}));
  EXPECT_EQ(lines(folder.put("f", "a\nb\n")), (Record{"a", "b"}));
  EXPECT_EQ(lines(folder.put("f", "a\r\n\r\nb\rc")), (Record{"a", "", "b\rc"}));
  EXPECT_EQ(lines(folder.put("f", "\n\n")), (Record{"", ""}));
  EXPECT_EQ(lines(folder.put("f",
                             "\xef\xbb\xbf"
                             "a\n\xef\xbb\xbf"
                             "b")),
            (Record{"a",
                    "\xef\xbb\xbf"
                    "b"}));
  EXPECT_EQ(lines(folder.put("f", std::string("a\0b\n", 4))), (Record{std::string("a\0b", 3)}));
}

TEST(LineReader, LongLinesPlainAndGzip) {
  const TempFolder folder;
  std::mt19937 random(1);
  Record wanted;
  std::string all;
  for (int i = 0; i < 300; ++i) {
    wanted.emplace_back(i % 50 == 0 ? 300'000 : random() % 2000, static_cast<char>('a' + i % 26));
    all += wanted.back() + (i % 3 == 0 ? "\r\n" : "\n");
  }
  EXPECT_EQ(lines(folder.put("f", all)), wanted);
  gzip(all, folder.file("f.gz"));
  EXPECT_EQ(lines(folder.file("f.gz")), wanted);
}

TEST(LineReader, Errors) {
  const TempFolder folder;
  expect_error(ExitCode::kNoInput, "No such file", [&] { LineReader{folder.file("none")}; });
  expect_error(ExitCode::kNoInput, "not a regular file", [&] { LineReader{folder.path().string()}; });
  std::string text = "a\n";
  text.resize((64 << 20) + 3, 'x');
  const std::string path = folder.put("f", text);
  expect_error(ExitCode::kBadData, ":2: a line of more than 64 MiB", [&] { lines(path); });
}

TEST(LineReader, GzipMembersFollowEachOther) {
  const TempFolder folder;
  const std::string one = gzip("a\nb", folder.file("1.gz")), two = gzip("c\n\nd\n", folder.file("2.gz"));
  EXPECT_EQ(lines(folder.put("f.gz", one + two)), (Record{"a", "bc", "", "d"}));
  EXPECT_EQ(lines(folder.put("f.gz", one + gzip("", folder.file("3.gz")) + two)), (Record{"a", "bc", "", "d"}));
  for (const std::size_t missing : {std::size_t{1}, std::size_t{9}, two.size() - 12, two.size() - 5}) {
    const std::string path = folder.put("f.gz", one + two.substr(0, two.size() - missing));
    expect_error(ExitCode::kBadData, path, [&] { lines(path); });
  }
  const std::string padding(300'000, '\0');
  EXPECT_EQ(lines(folder.put("f.gz", one + padding + two + padding)), (Record{"a", "bc", "", "d"}));
  expect_error(ExitCode::kBadData, ":2: the gzip stream is damaged: something else follows it; fetch",
               [&] { lines(folder.put("f.gz", one + "no member")); });
  expect_error(ExitCode::kBadData, "the gzip stream is damaged (", [&] { lines(folder.put("f.gz", one + "\x1f\x8c")); });
  EXPECT_EQ(lines(folder.put("f", "\x1f")), Record{"\x1f"});  // too short for gzip
}

TEST(LineReader, TruncatedOrDamagedGzip) {
  const TempFolder folder;
  std::string all;
  std::mt19937 random(2);
  for (int i = 0; i < 5000; ++i) all += std::to_string(random()) + "\n";
  const std::string packed = gzip(all, folder.file("f.gz"));
  for (const std::size_t length :
       {std::size_t{5}, std::size_t{12}, packed.size() / 2, packed.size() - 9, packed.size() - 4, packed.size() - 1}) {
    const std::string path = folder.put("g.gz", packed.substr(0, length));
    expect_error(ExitCode::kBadData, path, [&] { lines(path); });
  }
  std::string damaged = packed;
  damaged[packed.size() / 2] = static_cast<char>(damaged[packed.size() / 2] ^ 16);
  expect_error(ExitCode::kBadData, "damaged", [&] { lines(folder.put("g.gz", damaged)); });
  damaged = packed;
  damaged[packed.size() - 6] = static_cast<char>(damaged[packed.size() - 6] ^ 1);  // its checksum
  expect_error(ExitCode::kBadData, "damaged", [&] { lines(folder.put("g.gz", damaged)); });
}

TEST(Csv, QuotedFields) {
  const TempFolder folder;
  const std::string path = folder.put("f.csv",
                                      "id,title\r\n"
                                      "1,\"a, \"\"b\"\"\"\r\n"
                                      "2,\"two\nlines\n\"\r\n"
                                      "\n"
                                      "3,\n"
                                      "\"4\",\"\"\n"
                                      "5,5\" disk");
  EXPECT_EQ(records(path, {}),
            (std::vector<Record>{{"1", "a, \"b\""}, {"2", "two\nlines\n"}, {"3", ""}, {"4", ""}, {"5", "5\" disk"}}));
  CsvReader reader(path, {});
  EXPECT_EQ(reader.columns(), (Record{"id", "title"}));
  EXPECT_EQ(reader.column("title"), 1u);
  for (const int line : {2, 3, 7, 8, 9}) {
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(reader.place(), path + ":" + std::to_string(line));
  }
  EXPECT_FALSE(reader.next());
}

TEST(Csv, OtherFormats) {
  const TempFolder folder;
  EXPECT_EQ(records(folder.put("f.tsv", "a\tb\n\"x\t\"y\n\t\n"), {'\t', "", false, true}),
            (std::vector<Record>{{"\"x", "\"y"}, {"", ""}}));
  CsvReader movies(folder.put("movies.dat", "1::Toy: Story::A|B\n2::x::\n"), {'\0', "::", false, false});
  EXPECT_TRUE(movies.columns().empty());
  ASSERT_TRUE(movies.next());
  EXPECT_EQ(movies.field(1), "Toy: Story");
  ASSERT_TRUE(movies.next());
  EXPECT_EQ(movies.field(2), "");
  EXPECT_FALSE(movies.next());
}

TEST(Csv, RandomRecordsComeBack) {
  const TempFolder folder;
  std::mt19937 random(4);
  const std::string letters = "ab,\"\n\r ;é";
  std::vector<Record> wanted;
  std::string text = "a,b,c\n";
  for (int i = 0; i < 2000; ++i) {
    Record record;
    for (int f = 0; f < 3; ++f) {
      std::string field, written = "\"";
      for (unsigned k = 0, length = random() % 8; k < length; ++k) {
        const char c = letters[random() % letters.size()];
        if (c == '\r') continue;  // at the end of a line it belongs to the end
        field += c;
        written += c;
        if (c == '"') written += c;
      }
      record.push_back(field);
      const bool plain = field.find_first_of(",\"\n") == std::string::npos && random() % 2 == 0;
      if (f > 0) text += ',';
      text += plain ? field : written.append(1, '"');
    }
    text += random() % 2 == 0 ? "\n" : "\r\n";
    wanted.push_back(record);
  }
  EXPECT_EQ(records(folder.put("f.csv", text), {}), wanted);
  gzip(text, folder.file("f.csv.gz"));
  EXPECT_EQ(records(folder.file("f.csv.gz"), {}), wanted);
}

TEST(Csv, Numbers) {
  const TempFolder folder;
  const std::string path = folder.put("f.csv", "n,x\n-9223372036854775808,1e-3\n7,-2.5\n0,.5\n");
  CsvReader reader(path, {});
  reader.next();
  EXPECT_EQ(reader.integer(0), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(reader.real(1), 1e-3);
  reader.next();
  EXPECT_EQ(reader.real(0), 7.0);
  EXPECT_EQ(reader.real(1), -2.5);
  reader.next();
  EXPECT_EQ(reader.real(1), 0.5);
  expect_error(ExitCode::kBadData, path + ":4: column x: '.5' is not an integer", [&] { reader.integer(1); });
}

TEST(Csv, NotANumber) {
  const TempFolder folder;
  for (const char* text : {"", "x", "1x", " 1", "1 ", "+1", "nan", "inf", "-inf", "1e999", "0x10", "1,5"}) {
    CsvReader reader(folder.put("f.csv", "n\n\"" + std::string(text) + "\"\n"), {});
    ASSERT_TRUE(reader.next());
    expect_error(ExitCode::kBadData, ":2: column n: '" + std::string(text) + "' is ", [&] { reader.real(0); });
    expect_error(ExitCode::kBadData, ":2: column n: '" + std::string(text) + "' is ", [&] { reader.integer(0); });
  }
  CsvReader lined(folder.put("f.csv", "\"n\nm\"\n\"1\n2\"\n"), {});
  ASSERT_TRUE(lined.next());
  expect_error(ExitCode::kBadData, R"(:3: column n\x0am: '1\x0a2' is not a number)", [&] { lined.real(0); });
  CsvReader reader(folder.put("f.csv", "9223372036854775808\n"), {',', "", true, false});
  reader.next();
  expect_error(ExitCode::kBadData, "column 1: '9223372036854775808' is out of the range of an integer",
               [&] { reader.integer(0); });
}

TEST(Csv, Errors) {
  const TempFolder folder;
  const auto read = [&](const std::string& text) { return records(folder.put("f.csv", text), {}); };
  expect_error(ExitCode::kBadData, "empty, without even a header", [&] { read(""); });
  expect_error(ExitCode::kBadData, "f.csv:3: 3 fields, expected 2", [&] { read("a,b\n1,2\n1,2,3\n"); });
  expect_error(ExitCode::kBadData, "f.csv:2: 1 fields, expected 2", [&] { read("a,b\n1\n"); });
  expect_error(ExitCode::kBadData, "f.csv:2: a quoted field is never closed", [&] { read("a\n\"x\ny\n"); });
  expect_error(ExitCode::kBadData, "f.csv:2: text after the closing quote of field 2", [&] { read("a,b\n1,\"x\"y\n"); });
  expect_error(ExitCode::kNoInput, "none", [&] { CsvReader(folder.file("none"), {}); });
  CsvReader reader(folder.put("f.csv", "a,b,b\n1,2,3\n"), {});
  expect_error(ExitCode::kBadData, "no column 'x'; there are: a, b, b", [&] { reader.column("x"); });
  expect_error(ExitCode::kBadData, "column 'b' is there twice", [&] { reader.column("b"); });
  expect_error(ExitCode::kInternal, "field 0", [&] { reader.field(0); });  // before the first record
  ASSERT_TRUE(reader.next());
  expect_error(ExitCode::kInternal, "field 3", [&] { reader.field(3); });
  expect_error(ExitCode::kInternal, "without a separator", [&] { CsvReader(folder.file("f.csv"), {'\0', "", true, true}); });
}

TEST(Csv, ARecordIsBounded) {
  const TempFolder folder;
  const std::string path = folder.put(
      "f.csv", "a\n\"" + [] {
        std::string text;
        for (int i = 0; i < 70; ++i) text += std::string(1 << 20, 'x') + "\n";
        return text;
      }());
  expect_error(ExitCode::kBadData, ":2: a record of more than 64 MiB", [&] { records(path, {}); });
}

TEST(Csv, FieldsStayValidUntilTheNextRecord) {
  const TempFolder folder;
  CsvReader reader(folder.put("f.csv", "a,b\n\"x\"\"1\",y\n"), {});
  ASSERT_TRUE(reader.next());
  const std::string_view first = reader.field(0), second = reader.field(1);
  EXPECT_EQ(reader.field(0), first);
  EXPECT_EQ(first, "x\"1");
  EXPECT_EQ(second, "y");
}

}  // namespace
}  // namespace thinkrec
