#include "io/hdf5.h"

#include <hdf5.h>

#include <random>
#include <thread>

#include "io/file.h"
#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::TempFolder;

template <class T>
std::vector<T> numbers(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(static_cast<std::int64_t>(random() % 2'000'001) - 1'000'000);
  return values;
}

std::string small_file() {
  Hdf5Writer writer;
  writer.write("tensors/0", std::span<const float>(numbers<float>(1500, 1)), {30, 50});
  writer.write("ids", std::span<const std::int64_t>(numbers<std::int64_t>(300, 2)));
  writer.write("names", std::span<const std::string>(std::vector<std::string>{"a", "", std::string("\0\xff", 2)}));
  writer.attribute("facts", "{\"k\": 1}");
  writer.attribute("step", std::int64_t{-5});
  return writer.finish();
}

/// Reads all that small_file() holds; the sum of everything tells a change.
std::string read_all(const Hdf5Reader& reader) {
  std::string all;
  for (const float value : reader.floats("tensors/0")) all += testing::raw(value);
  for (const std::int64_t extent : reader.shape("tensors/0")) all += testing::raw(extent);
  for (const std::int64_t value : reader.int64s("ids")) all += testing::raw(value);
  for (const std::string& value : reader.strings("names")) all += value + "|";
  return all + reader.text_attribute("facts") + testing::raw(reader.int_attribute("step"));
}

TEST(Hdf5, RoundTripInMemoryAndOnDisk) {
  const auto floats = numbers<float>(300'001, 1);  // several chunks, the last one partly filled
  const auto matrix = numbers<double>(7 * 11 * 13, 2);
  const auto ints = numbers<std::int32_t>(5, 3);
  const auto longs = numbers<std::int64_t>(1, 4);
  const auto bytes = numbers<std::uint8_t>(70'000, 5);
  const std::vector<std::string> names = {"", "naïve", std::string("\0x", 2), ""};
  const std::string large(200'000, 'L');
  Hdf5Writer writer;
  writer.write("a/b/floats", std::span<const float>(floats));
  writer.write("a/matrix", std::span<const double>(matrix), {7, 11, 13});
  writer.write("ints", std::span<const std::int32_t>(ints));
  writer.write("longs", std::span<const std::int64_t>(longs));
  writer.write("bytes", std::span<const std::uint8_t>(bytes));
  writer.write("names", std::span<const std::string>(names));
  writer.attribute("text", "a\0b");
  writer.attribute("zeros", std::string_view("a\0b\0", 4));
  writer.attribute("empty", "");
  writer.attribute("large", large);
  writer.attribute("number", std::int64_t{-9'000'000'000});
  const std::string image = writer.finish();
  const TempFolder folder;
  const std::string path = folder.put("f.h5", image);
  for (const Hdf5Reader& reader : {Hdf5Reader::from_bytes(image, "memory"), Hdf5Reader::open(path)}) {
    EXPECT_EQ(reader.floats("a/b/floats"), floats);
    EXPECT_EQ(reader.doubles("a/matrix"), matrix);
    EXPECT_EQ(reader.shape("a/matrix"), (std::vector<std::int64_t>{7, 11, 13}));
    EXPECT_EQ(reader.shape("ints"), (std::vector<std::int64_t>{5}));
    EXPECT_EQ(reader.int32s("ints"), ints);
    EXPECT_EQ(reader.int64s("longs"), longs);
    EXPECT_EQ(reader.bytes("bytes"), bytes);
    EXPECT_EQ(reader.strings("names"), names);
    EXPECT_EQ(reader.text_attribute("text"), "a");
    EXPECT_EQ(reader.text_attribute("zeros"), std::string("a\0b\0", 4));
    EXPECT_EQ(reader.text_attribute("empty"), "");
    EXPECT_EQ(reader.text_attribute("large"), large);
    EXPECT_EQ(reader.int_attribute("number"), -9'000'000'000);
    EXPECT_EQ(reader.children("/"), (std::vector<std::string>{"a", "bytes", "ints", "large_attributes", "longs", "names"}));
    EXPECT_EQ(reader.children("a"), (std::vector<std::string>{"b", "matrix"}));
    EXPECT_TRUE(reader.has("/"));
    EXPECT_TRUE(reader.has("a/b"));
    EXPECT_TRUE(reader.has("a/b/floats"));
    for (const char* none : {"", "b", "a/c", "a/c/d", "ints/x", "a/b/floats/x"}) EXPECT_FALSE(reader.has(none)) << none;
  }
}

TEST(Hdf5, EmptyDataSets) {
  Hdf5Writer writer;
  writer.write("a", std::span<const float>());
  writer.write("b", std::span<const double>(), {0, 4});
  writer.write("c", std::span<const float>(), {3, 0});
  writer.write("d", std::span<const std::int32_t>());
  writer.write("e", std::span<const std::int64_t>());
  writer.write("f", std::span<const std::uint8_t>());
  writer.write("g", std::span<const std::string>());
  writer.write("h", std::span<const std::string>(std::vector<std::string>{"", ""}));
  const Hdf5Reader reader = Hdf5Reader::from_bytes(writer.finish(), "memory");
  EXPECT_TRUE(reader.floats("a").empty());
  EXPECT_EQ(reader.shape("a"), (std::vector<std::int64_t>{0}));
  EXPECT_TRUE(reader.doubles("b").empty());
  EXPECT_EQ(reader.shape("b"), (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(reader.shape("c"), (std::vector<std::int64_t>{3, 0}));
  EXPECT_TRUE(reader.int32s("d").empty() && reader.int64s("e").empty() && reader.bytes("f").empty() &&
              reader.strings("g").empty());
  EXPECT_EQ(reader.strings("h"), (std::vector<std::string>{"", ""}));
}

TEST(Hdf5, AnEmptyFile) {
  Hdf5Writer writer;
  EXPECT_TRUE(Hdf5Reader::from_bytes(writer.finish(), "memory").children("/").empty());
}

TEST(Hdf5, RandomShapes) {
  std::mt19937 random(11);
  Hdf5Writer writer;
  std::vector<std::vector<std::int64_t>> shapes;
  for (int i = 0; i < 60; ++i) {
    std::vector<std::int64_t> shape(1 + random() % 4);
    for (auto& extent : shape) extent = i % 10 == 0 ? random() % 3 : 1 + random() % 40;
    std::size_t count = 1;
    for (const auto extent : shape) count *= static_cast<std::size_t>(extent);
    writer.write("t/" + std::to_string(i), std::span<const float>(numbers<float>(count, static_cast<unsigned>(i))), shape);
    shapes.push_back(shape);
  }
  const Hdf5Reader reader = Hdf5Reader::from_bytes(writer.finish(), "memory");
  EXPECT_EQ(reader.children("t").size(), shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const std::string name = "t/" + std::to_string(i);
    const auto values = reader.floats(name);
    EXPECT_EQ(reader.shape(name), shapes[i]);
    EXPECT_EQ(values, numbers<float>(values.size(), static_cast<unsigned>(i)));
  }
}

TEST(Hdf5, TheSameValuesGiveTheSameBytes) {
  const std::string first = small_file();
  EXPECT_EQ(first, small_file());
}

TEST(Hdf5, ChecksumOnEveryDataSet) {
  const TempFolder folder;
  const std::string path = folder.put("f.h5", small_file());
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  for (const char* name : {"tensors/0", "ids", "names/offsets", "names/bytes"}) {
    const hid_t set = H5Dopen2(file, name, H5P_DEFAULT), properties = H5Dget_create_plist(set);
    EXPECT_EQ(H5Pall_filters_avail(properties), 1);
    EXPECT_EQ(H5Pget_nfilters(properties), 1) << name;
    H5Pclose(properties);
    H5Dclose(set);
  }
  H5Fclose(file);
}

TEST(Hdf5, NoFlippedBitChangesWhatIsRead) {
  const std::string whole = small_file();
  const std::string wanted = read_all(Hdf5Reader::from_bytes(whole, "memory"));
  std::mt19937 random(3);
  int caught = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string bytes = whole;
    const std::size_t at = random() % (round % 2 == 0 ? std::min<std::size_t>(3000, bytes.size()) : bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    try {
      ASSERT_EQ(read_all(Hdf5Reader::from_bytes(bytes, "memory")), wanted) << "silently changed by a bit at " << at;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::kBadData) << error.what();
      ++caught;
    }
  }
  EXPECT_GT(caught, 500);
}

TEST(Hdf5, FlippedValueIsNamed) {
  std::string bytes = small_file();
  const float first = numbers<float>(1500, 1)[700];
  const std::size_t at = bytes.find(testing::raw(first));
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  const Hdf5Reader reader = Hdf5Reader::from_bytes(bytes, "state.h5");
  expect_error(ExitCode::kBadData, "state.h5: 'tensors/0': cannot be read, the file is damaged",
               [&] { reader.floats("tensors/0"); });
}

TEST(Hdf5, EveryTruncationIsRefused) {
  const std::string whole = small_file();
  const TempFolder folder;
  for (std::size_t length = 0; length < whole.size(); length += 1 + length / 20) {
    expect_error(ExitCode::kBadData, "memory", [&] { Hdf5Reader::from_bytes(whole.substr(0, length), "memory"); });
  }
  for (const std::size_t length : {std::size_t{0}, whole.size() / 2, whole.size() - 1}) {
    const std::string path = folder.put("f.h5", whole.substr(0, length));
    expect_error(ExitCode::kBadData, path, [&] { Hdf5Reader::open(path); });
  }
}

TEST(Hdf5, OpeningErrors) {
  const TempFolder folder;
  expect_error(ExitCode::kNoInput, "No such file", [&] { Hdf5Reader::open(folder.file("none")); });
  expect_error(ExitCode::kNoInput, "not a regular file", [&] { Hdf5Reader::open(folder.path().string()); });
  expect_error(ExitCode::kBadData, "label: not a whole HDF5 file",
               [] { Hdf5Reader::from_bytes(std::string(5000, 'x'), "label"); });
}

TEST(Hdf5, WhatIsMissingOrOfAnotherType) {
  const Hdf5Reader reader = Hdf5Reader::from_bytes(small_file(), "f");
  expect_error(ExitCode::kBadData, "f: 'none': is missing", [&] { reader.floats("none"); });
  expect_error(ExitCode::kBadData, "'tensors': is no data set", [&] { reader.floats("tensors"); });
  expect_error(ExitCode::kBadData, "'ids': its values are not 32-bit floats", [&] { reader.floats("ids"); });
  expect_error(ExitCode::kBadData, "not 64-bit floats", [&] { reader.doubles("tensors/0"); });
  expect_error(ExitCode::kBadData, "not 32-bit integers", [&] { reader.int32s("ids"); });
  expect_error(ExitCode::kBadData, "not 64-bit integers", [&] { reader.int64s("tensors/0"); });
  expect_error(ExitCode::kBadData, "not bytes", [&] { reader.bytes("ids"); });
  expect_error(ExitCode::kBadData, "'ids/offsets': is missing", [&] { reader.strings("ids"); });
  expect_error(ExitCode::kBadData, "'none': is missing", [&] { reader.shape("none"); });
  expect_error(ExitCode::kBadData, "'none': is missing", [&] { reader.children("none"); });
  expect_error(ExitCode::kBadData, "'ids': is no group", [&] { reader.children("ids"); });
  expect_error(ExitCode::kBadData, "'none': the attribute is missing", [&] { reader.int_attribute("none"); });
  expect_error(ExitCode::kBadData, "'none': the attribute is missing", [&] { reader.text_attribute("none"); });
  expect_error(ExitCode::kBadData, "no 64-bit integer", [&] { reader.int_attribute("facts"); });
  expect_error(ExitCode::kBadData, "no text", [&] { reader.text_attribute("step"); });
}

TEST(Hdf5, StringsWhoseOffsetsDoNotFit) {
  for (const auto& offsets : std::vector<std::vector<std::int64_t>>{{}, {1, 3}, {0, 2}, {0, 4}, {0, 3, 2, 3}, {0, -1, 3}}) {
    Hdf5Writer writer;
    writer.write("s/offsets", std::span<const std::int64_t>(offsets));
    writer.write("s/bytes", std::span<const std::uint8_t>(std::vector<std::uint8_t>{1, 2, 3}));
    const Hdf5Reader reader = Hdf5Reader::from_bytes(writer.finish(), "f");
    expect_error(ExitCode::kBadData, "'s': its offsets do not fit", [&] { reader.strings("s"); });
  }
}

TEST(Hdf5, PartsOfADataSet) {
  Hdf5Writer writer;
  const auto ids = numbers<std::int64_t>(300'000, 4);  // several chunks
  const auto bytes = numbers<std::uint8_t>(10, 5);
  writer.write("ids", std::span<const std::int64_t>(ids));
  writer.write("bytes", std::span<const std::uint8_t>(bytes));
  writer.write("none", std::span<const std::int64_t>());
  const TempFolder folder;
  const std::string path = folder.put("f.h5", writer.finish());
  const Hdf5Reader reader = Hdf5Reader::open(path);
  for (const auto& [first, count] :
       {std::pair<std::int64_t, std::int64_t>{0, 300'000}, {0, 1}, {299'999, 1}, {130'000, 5000}, {7, 0}, {300'000, 0}}) {
    EXPECT_EQ(reader.int64s("ids", first, count), std::vector<std::int64_t>(ids.begin() + first, ids.begin() + first + count));
  }
  EXPECT_EQ(reader.bytes("bytes", 3, 4), std::vector<std::uint8_t>(bytes.begin() + 3, bytes.begin() + 7));
  EXPECT_TRUE(reader.int64s("none", 0, 0).empty());
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 300'001}, {300'001, 0}, {-1, 2}, {5, -1}})
    expect_error(ExitCode::kInternal, "'ids'", [&] { reader.int64s("ids", first, count); });
  expect_error(ExitCode::kBadData, "not bytes", [&] { reader.bytes("ids", 0, 1); });
  expect_error(ExitCode::kBadData, "'no': is missing", [&] { reader.bytes("no", 0, 1); });
}

TEST(Hdf5, ManyAndLongStringsAreReadInSlabs) {
  std::mt19937_64 random(8);
  std::vector<std::string> texts(150'000);  // more than a slab of offsets
  for (std::string& text : texts) text.assign(random() % 40, static_cast<char>(random()));
  texts[70'000].assign(std::size_t{9} << 20, 'x');  // more than a slab of bytes, alone
  Hdf5Writer writer;
  writer.write("s", std::span<const std::string>(texts));
  writer.write("none", std::span<const std::string>());
  writer.write("flat/offsets", std::span<const std::int64_t>(std::vector<std::int64_t>{0, 0, 0, 3}));
  writer.write("flat/bytes", std::span<const float>(std::vector<float>{1, 2, 3}), {3, 1});
  const Hdf5Reader reader = Hdf5Reader::from_bytes(writer.finish(), "f");
  EXPECT_EQ(reader.strings("s"), texts);
  EXPECT_TRUE(reader.strings("none").empty());
  expect_error(ExitCode::kBadData, "'flat': it is not one-dimensional", [&] { reader.strings("flat"); });
}

TEST(Hdf5, WriterErrors) {
  Hdf5Writer writer;
  const std::vector<float> six(6);
  writer.write("a", std::span<const float>(six), {2, 3});
  expect_error(ExitCode::kInternal, "'a'", [&] { writer.write("a", std::span<const float>(six)); });
  expect_error(ExitCode::kInternal, "'a/b'", [&] { writer.write("a/b", std::span<const float>(six)); });
  for (const char* name : {"", "/x", "x/", "x//y"}) {
    expect_error(ExitCode::kInternal, "no name for a data set", [&] { writer.write(name, std::span<const float>(six)); });
  }
  expect_error(ExitCode::kInternal, "6 values for shape [2, 2]", [&] { writer.write("b", std::span<const float>(six), {2, 2}); });
  expect_error(ExitCode::kInternal, "a dimension of -6", [&] { writer.write("b", std::span<const float>(six), {-6, -1}); });
  expect_error(ExitCode::kInternal, "overflows", [&] {
    writer.write("b", std::span<const float>(six), {std::int64_t{1} << 62, 8});
  });
  writer.attribute("k", "v");
  expect_error(ExitCode::kInternal, "'k'", [&] { writer.attribute("k", "w"); });
  writer.finish();
  expect_error(ExitCode::kInternal, "after finish()", [&] { writer.write("c", std::span<const float>(six)); });
  expect_error(ExitCode::kInternal, "after finish()", [&] { writer.attribute("c", "v"); });
  expect_error(ExitCode::kInternal, "after finish()", [&] { writer.finish(); });
}

/// Files that the writer never makes, by the C API.
class Hdf5Foreign : public ::testing::Test {
 protected:
  void SetUp() override { file_ = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT); }
  void TearDown() override {
    if (file_ >= 0) H5Fclose(file_);
  }
  void make(const char* name, hsize_t extent, hid_t properties) {
    const hid_t space = H5Screate_simple(1, &extent, nullptr);
    const hid_t set = H5Dcreate2(file_, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    ASSERT_GE(set, 0) << name;
    H5Dclose(set);
    H5Sclose(space);
  }
  Hdf5Reader reader() {
    H5Fclose(file_);
    file_ = -1;
    return Hdf5Reader::open(path_);
  }
  TempFolder folder_;
  std::string path_ = folder_.file("f.h5");
  hid_t file_ = -1;
};

TEST_F(Hdf5Foreign, MoreValuesThanAreStored) {
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk = 1024;
  H5Pset_chunk(properties, 1, &chunk);
  make("never written", hsize_t{1} << 40, properties);
  make("too long", hsize_t{1} << 62, properties);
  H5Pclose(properties);
  const Hdf5Reader file = reader();
  expect_error(ExitCode::kBadData, "more than are stored", [&] { file.floats("never written"); });
  expect_error(ExitCode::kBadData, "overflows", [&] { file.floats("too long"); });
}

TEST_F(Hdf5Foreign, ValuesInAnotherFileOrBehindAFilter) {
  hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  const std::string other = folder_.put("secret", std::string(64, 's'));
  H5Pset_external(properties, other.c_str(), 0, 64);
  make("external", 16, properties);
  H5Pclose(properties);
  properties = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk = 16;
  H5Pset_chunk(properties, 1, &chunk);
  H5Pset_deflate(properties, 6);
  make("compressed", 16, properties);
  H5Pclose(properties);
  const Hdf5Reader file = reader();
  expect_error(ExitCode::kBadData, "lie in another file", [&] { file.floats("external"); });
  expect_error(ExitCode::kBadData, "without compression", [&] { file.floats("compressed"); });
}

TEST_F(Hdf5Foreign, LinksOutOfTheFileAreNotFollowed) {
  make("here", 4, H5P_DEFAULT);
  H5Lcreate_external("/etc/passwd", "/x", file_, "outside", H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_soft("/here", file_, "soft", H5P_DEFAULT, H5P_DEFAULT);
  const Hdf5Reader file = reader();
  EXPECT_TRUE(file.has("here"));
  EXPECT_FALSE(file.has("outside"));
  EXPECT_FALSE(file.has("soft"));
  EXPECT_FALSE(file.has("outside/x"));
  expect_error(ExitCode::kBadData, "is missing", [&] { file.floats("outside"); });
}

TEST(Hdf5, WritersAndReadersSideBySide) {
  Hdf5Writer one, two;
  one.write("x", std::span<const float>(std::vector<float>{1}));
  two.write("x", std::span<const float>(std::vector<float>{2}));
  const Hdf5Reader first = Hdf5Reader::from_bytes(one.finish(), "one"), second = Hdf5Reader::from_bytes(two.finish(), "two");
  EXPECT_EQ(first.floats("x"), std::vector<float>{1});
  EXPECT_EQ(second.floats("x"), std::vector<float>{2});
}

TEST(Hdf5, FromSeveralThreadsAndWithoutPrinting) {
  ::testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 20; ++i) {
        const Hdf5Reader reader = Hdf5Reader::from_bytes(small_file(), "memory");
        EXPECT_EQ(reader.floats("tensors/0").size(), 1500u);
        EXPECT_THROW(reader.floats("none"), Error);
        EXPECT_THROW(Hdf5Reader::from_bytes("nothing of the kind", "memory"), Error);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace thinkrec
