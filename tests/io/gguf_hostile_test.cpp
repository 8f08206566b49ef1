// GGUF files of unknown origin: every check is driven into its failing branch, and mutated files never crash.
#include <limits>
#include <random>

#include "io/file.h"
#include "io/gguf.h"
#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::fixture;
using testing::raw;
using testing::TempFolder;

std::string text(const std::string& value) { return raw<std::uint64_t>(value.size()) + value; }

std::string key(const std::string& name, std::uint32_t type, const std::string& value) { return text(name) + raw(type) + value; }

std::string tensor(const std::string& name, const std::vector<std::uint64_t>& extents, std::uint32_t type, std::uint64_t offset) {
  std::string bytes = text(name) + raw(static_cast<std::uint32_t>(extents.size()));
  for (const std::uint64_t extent : extents) bytes += raw(extent);
  return bytes + raw(type) + raw(offset);
}

/// A file of these keys and tensors; the data begins at a multiple of `alignment`.
std::string gguf(const std::vector<std::string>& keys, const std::vector<std::string>& tensors, std::size_t data_bytes,
                 std::size_t alignment = 32, std::uint32_t version = 3) {
  std::string bytes = "GGUF" + raw(version) + raw<std::uint64_t>(tensors.size()) + raw<std::uint64_t>(keys.size());
  for (const auto& part : keys) bytes += part;
  for (const auto& part : tensors) bytes += part;
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
  return bytes + std::string(data_bytes, '\1');
}

constexpr std::uint32_t kU32 = 4, kBool = 7, kString = 8, kArray = 9, kU64 = 10;

class GgufHostile : public ::testing::Test {
 protected:
  void refused(const std::string& bytes, const std::string& part) {
    const std::string path = folder_.put("f.gguf", bytes);
    expect_error(ExitCode::kBadData, part, [&] { GgufFile{path}; });
    expect_error(ExitCode::kBadData, path, [&] { GgufFile{path}; });
  }
  GgufFile taken(const std::string& bytes) { return GgufFile(folder_.put("f.gguf", bytes)); }
  TempFolder folder_;
};

TEST_F(GgufHostile, NotAFile) {
  expect_error(ExitCode::kNoInput, "No such file", [&] { GgufFile{folder_.file("none")}; });
  expect_error(ExitCode::kNoInput, "not a regular file", [&] { GgufFile{folder_.path().string()}; });
}

TEST_F(GgufHostile, Head) {
  refused("", "not a GGUF file");
  refused("GGU", "not a GGUF file");
  refused("GGML" + raw<std::uint32_t>(3), "not a GGUF file");
  refused("GGUF" + raw<std::uint32_t>(3), "truncated");
  refused(gguf({}, {}, 0, 32, 1), "version 1");
  refused(gguf({}, {}, 0, 32, 4), "version 4");
  refused(gguf({}, {}, 0, 32, 0x03000000), "big-endian");
  EXPECT_TRUE(taken(gguf({}, {}, 0, 32, 2)).tensors().empty());
  EXPECT_TRUE(taken(gguf({}, {}, 0, 1, 3)).tensors().empty());
}

TEST_F(GgufHostile, CountsAreBounded) {
  const std::string head = "GGUF" + raw<std::uint32_t>(3);
  for (const std::uint64_t many : {std::uint64_t{1'000'001}, std::numeric_limits<std::uint64_t>::max()}) {
    refused(head + raw(many) + raw<std::uint64_t>(0), "tensors, more than");
    refused(head + raw<std::uint64_t>(0) + raw(many), "metadata keys, more than");
  }
  refused(head + raw<std::uint64_t>(0) + raw<std::uint64_t>(100'000), "metadata key 0");  // allowed, but not there
}

TEST_F(GgufHostile, Strings) {
  refused(gguf({raw<std::uint64_t>(65'536) + std::string(65'536, 'k')}, {}, 0), "65536 bytes, more than");
  refused(gguf({raw(std::numeric_limits<std::uint64_t>::max())}, {}, 0), "more than");
  refused(gguf({text("k") + raw(kString) + raw<std::uint64_t>((64 << 20) + 1)}, {}, 0), "metadata 'k': a string of");
  refused(gguf({text("k") + raw(kString) + raw<std::uint64_t>(1000)}, {}, 0), "truncated");
}

TEST_F(GgufHostile, Values) {
  refused(gguf({key("k", 13, "")}, {}, 0), "unknown value type 13");
  refused(gguf({key("k", kU64, raw<std::uint64_t>(1ull << 63))}, {}, 0), "above 2^63-1");
  refused(gguf({key("k", kU32, raw(1u)), key("k", kU32, raw(2u))}, {}, 0), "metadata 'k': given twice");
  EXPECT_TRUE(taken(gguf({key("k", kBool, "\2")}, {}, 0)).get<bool>("k"));  // any byte but 0 is true, as in ggml
}

TEST_F(GgufHostile, Arrays) {
  const auto array = [](std::uint32_t type, std::uint64_t count, const std::string& bytes) {
    return gguf({key("k", kArray, raw(type) + raw(count) + bytes)}, {}, 0);
  };
  refused(array(13, 1, "x"), "unknown value type 13");
  refused(array(kArray, 1, raw(kU32) + raw<std::uint64_t>(0)), "array of arrays");
  refused(array(0, 10'000'001, ""), "more than 10000000");
  refused(array(kU64, 1000, ""), "does not fit the file");
  refused(array(kString, 2, text("a") + raw<std::uint64_t>(1u << 20)), "truncated");
  refused(array(kU64, 1, raw(std::numeric_limits<std::uint64_t>::max())), "above 2^63-1");
  EXPECT_TRUE(taken(array(kString, 0, "")).get<std::vector<std::string>>("k").empty());
}

TEST_F(GgufHostile, Alignment) {
  for (const std::uint32_t wrong : {0u, 3u, 48u, 1u << 31}) {
    refused(gguf({key("general.alignment", kU32, raw(wrong))}, {}, 0), "no power of two");
  }
  refused(gguf({key("general.alignment", kString, text("32"))}, {}, 0), "not an integer");
  const GgufFile file = taken(gguf({key("general.alignment", kU32, raw(64u))}, {tensor("t", {2}, 0, 64)}, 72, 64));
  EXPECT_EQ(file.tensor("t").offset % 64, 0u);
  std::vector<float> values(2);
  file.read(file.tensor("t"), values.data());
  refused(gguf({key("general.alignment", kU32, raw(64u))}, {tensor("t", {2}, 0, 32)}, 72, 64), "multiple of the alignment 64");
}

TEST_F(GgufHostile, Tensors) {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;
  refused(gguf({}, {tensor("t", std::vector<std::uint64_t>(9, 1), 0, 0)}, 64), "9 dimensions");
  refused(gguf({}, {tensor("t", {std::uint64_t{1} << 63}, 0, 0)}, 64), "a dimension of");
  refused(gguf({}, {tensor("t", {1u << 31, 1u << 31, 4}, 0, 0)}, 64), "number of elements overflows");
  refused(gguf({}, {tensor("t", {kHuge}, 28, 0)}, 64), "size overflows");
  refused(gguf({}, {tensor("t", {33}, 2, 0)}, 64), "no multiple of 32, the block of Q4_0");
  refused(gguf({}, {tensor("t", {16, 2}, 8, 0)}, 64), "no multiple of 32, the block of Q8_0");
  refused(gguf({}, {tensor("t", {1}, 0, 4)}, 64), "multiple of the alignment");
  refused(gguf({}, {tensor("t", {17}, 0, 0)}, 64), "past the end");
  refused(gguf({}, {tensor("a\nb", {17}, 0, 0)}, 64), "tensor 'a\\x0ab'");
  refused(gguf({}, {tensor("t", {1}, 0, 64)}, 64), "past the end");
  refused(gguf({}, {tensor("t", {1}, 0, std::numeric_limits<std::uint64_t>::max() - 31)}, 64), "past the end");
  refused(gguf({}, {tensor("t", {1}, 0, 0), tensor("t", {1}, 0, 32)}, 64), "tensor 't': given twice");
  refused(gguf({}, {tensor("t", {1}, 0, 0).substr(0, 20)}, 0, 1), "truncated");
  EXPECT_EQ(taken(gguf({}, {tensor("t", {16}, 0, 0)}, 64)).tensor("t").elements, 16);
  EXPECT_EQ(taken(gguf({}, {tensor("t", {0, 5}, 0, 0)}, 0)).tensor("t").elements, 0);
}

TEST_F(GgufHostile, TypesThatAreListedButNotRead) {
  const GgufFile file = taken(gguf({}, {tensor("k", {256}, 14, 0), tensor("u", {4}, 99, 0)}, 256));
  float value = 0;
  expect_error(ExitCode::kBadData, "tensor 'k' is Q6_K", [&] { file.read(file.tensor("k"), &value); });
  expect_error(ExitCode::kBadData, "tensor 'u' is type 99", [&] { file.read(file.tensor("u"), &value); });
  refused(gguf({}, {tensor("k", {256}, 14, 0)}, 209), "past the end");
}

TEST_F(GgufHostile, AFileThatShrinksIsAnErrorAndNoSignal) {
  const std::string bytes = gguf({}, {tensor("t", {4096}, 0, 0)}, 4 * 4096);
  const GgufFile file = taken(bytes);
  std::filesystem::resize_file(file.path(), bytes.size() - 1);
  std::vector<float> values(4096);
  expect_error(ExitCode::kBadData, "truncated", [&] { file.read(file.tensor("t"), values.data()); });
}

TEST_F(GgufHostile, EveryTruncationIsRefused) {
  const std::string whole = read_file(fixture("quants.gguf"));
  const GgufFile file(fixture("quants.gguf"));
  std::uint64_t end = 0;  // the writer pads after the last tensor
  for (const auto& t : file.tensors()) end = std::max(end, t.offset + (t.name == "f32" ? 120u : 0u));
  ASSERT_LE(end, whole.size());
  for (std::size_t length = 0; length < end; length += length < 1200 ? 1 : 7) {
    const std::string path = folder_.put("f.gguf", whole.substr(0, length));
    ASSERT_THROW(GgufFile{path}, Error) << length;
  }
}

TEST_F(GgufHostile, MutantsAreReadOrRefused) {
  const std::string whole = read_file(fixture("quants.gguf"));
  std::mt19937 random(7);
  int refusals = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = whole;
    for (unsigned i = 0, count = 1 + random() % 3; i < count; ++i) {
      const std::size_t at = random() % 1200;
      bytes[at] = random() % 2 == 0 ? static_cast<char>(random()) : static_cast<char>(bytes[at] ^ (1 << random() % 8));
    }
    try {
      const GgufFile file(folder_.put("f.gguf", bytes));
      for (const auto& t : file.tensors()) {
        if (t.elements > (1 << 20)) continue;
        std::vector<float> values(static_cast<std::size_t>(t.elements));
        file.read(t, values.data());
      }
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::kBadData) << error.what();
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 1000);
}

}  // namespace
}  // namespace thinkrec
