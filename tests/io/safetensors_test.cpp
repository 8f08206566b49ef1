#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "io/file.h"
#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::fixture;
using testing::raw;
using testing::TempFolder;

std::string with_header(const std::string& header, std::size_t data_bytes) {
  return raw<std::uint64_t>(header.size()) + header + std::string(data_bytes, '\0');
}

/// The fixture holds the bytes of a header as characters up to U+00FF, of one or two bytes in UTF-8.
std::string bytes_of(const std::string& utf8) {
  std::string bytes;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<unsigned char>(utf8[i]);
    bytes += lead < 0x80 ? utf8[i] : static_cast<char>((lead & 3) << 6 | (utf8[++i] & 0x3f));
  }
  return bytes;
}

std::string digest(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry* entry = file.find(name);
  if (entry == nullptr) return "no such tensor";
  std::vector<float> values(static_cast<std::size_t>(entry->elements));
  file.read(*entry, values.data());
  return sha256_hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

class Safetensors : public ::testing::Test {
 protected:
  void refused(const std::string& bytes, const std::string& part) {
    const std::string path = folder_.put("f.safetensors", bytes);
    expect_error(ExitCode::kBadData, part, [&] { SafetensorsFile{path}; });
    expect_error(ExitCode::kBadData, path, [&] { SafetensorsFile{path}; });
  }
  SafetensorsFile taken(const std::string& bytes) { return SafetensorsFile(folder_.put("f.safetensors", bytes)); }
  TempFolder folder_;
};

TEST_F(Safetensors, ReadsAFileOfThePythonPackage) {
  SafetensorsFile from(fixture("mixed.safetensors"));
  const SafetensorsFile file(std::move(from));
  const auto facts = nlohmann::json::parse(read_file(fixture("mixed.json")));
  EXPECT_EQ(file.entries().size(), 5u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  for (const auto& [name, wanted] : facts["sha256"].items()) EXPECT_EQ(digest(file, name), wanted.get<std::string>()) << name;
  EXPECT_EQ(file.find("single")->shape, (std::vector<std::int64_t>{3, 5}));
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  EXPECT_EQ(file.find("none"), nullptr);
  float value = 0;
  expect_error(ExitCode::kBadData, "tensor 'integers' is I64; thinkrec reads",
               [&] { file.read(*file.find("integers"), &value); });
}

TEST_F(Safetensors, ReadsBfloat16) {
  std::string bytes = with_header(R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})", 0);
  bytes += raw<std::uint16_t>(0x3fc0) + raw<std::uint16_t>(0xc000);
  const SafetensorsFile file = taken(bytes);
  std::vector<float> values(2);
  file.read(*file.find("b"), values.data());
  EXPECT_EQ(values, (std::vector<float>{1.5f, -2.f}));
}

TEST_F(Safetensors, WritesTheSameBytesAsThePythonPackage) {
  const auto facts = nlohmann::json::parse(read_file(fixture("mixed.json")));
  std::vector<float> values;
  for (const auto& bits : facts["values"]) values.push_back(std::bit_cast<float>(bits.get<std::uint32_t>()));
  const std::string bytes =
      encode_safetensors({{"single", {3, 5}, values.data()}, {"empty", {0, 4}, nullptr}}, {{"by", "thinkrec"}});
  EXPECT_EQ(sha256_hex(bytes), facts["saved_sha256"].get<std::string>());
}

TEST_F(Safetensors, RoundTrip) {
  std::mt19937 random(5);
  std::vector<std::vector<float>> values;
  std::vector<SafetensorsTensor> tensors;
  for (int i = 0; i < 40; ++i) {
    std::vector<std::int64_t> shape(random() % 4);
    std::size_t count = 1;
    for (auto& extent : shape) count *= static_cast<std::size_t>(extent = random() % 7);
    values.emplace_back(count);
    for (float& value : values.back()) value = static_cast<float>(random());
    tensors.push_back({"layer \"" + std::to_string(i) + "\" \n ü", shape, nullptr});
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].data = values[i].data();
  const std::string bytes = encode_safetensors(tensors, {});
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  EXPECT_EQ(header % 8, 0u);
  const SafetensorsFile file = taken(bytes);
  EXPECT_TRUE(file.metadata().empty());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const SafetensorsEntry* entry = file.find(tensors[i].name);
    ASSERT_NE(entry, nullptr) << tensors[i].name;
    EXPECT_EQ(entry->shape, tensors[i].shape);
    std::vector<float> got(static_cast<std::size_t>(entry->elements));
    file.read(*entry, got.data());
    EXPECT_EQ(got, values[i]);
  }
  EXPECT_TRUE(taken(encode_safetensors({}, {})).entries().empty());
}

TEST_F(Safetensors, WritesToAFileWhatItEncodes) {
  const TempFolder folder;
  std::vector<float> values(600'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 1.001f;
  const std::vector<SafetensorsTensor> tensors = {
      {"b", {2, 300'000}, values.data()}, {"a", {1}, values.data() + 5}, {"e", {0}, nullptr}};
  write_safetensors(folder.file("f"), tensors, {{"k", "v"}}, SavedType::kF32);
  EXPECT_EQ(read_file(folder.file("f")), encode_safetensors(tensors, {{"k", "v"}}));

  // 1 + 2^-8 lies between two: ties go to even. A NaN stays one.
  values[0] = 1.00390625f, values[1] = 1.01171875f, values[2] = std::nanf("");
  write_safetensors(folder.file("half"), tensors, {}, SavedType::kBf16);
  const SafetensorsFile file(folder.file("half"));
  const SafetensorsEntry* entry = file.find("b");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->dtype, "BF16");
  std::vector<float> got(values.size());
  file.read(*entry, got.data());
  EXPECT_EQ(got[0], 1.f);
  EXPECT_EQ(got[1], 1.015625f);
  EXPECT_TRUE(std::isnan(got[2]));
  for (std::size_t i = 3; i < got.size(); ++i) ASSERT_NEAR(got[i], values[i], values[i] / 256) << i;
}

TEST_F(Safetensors, EncodeErrors) {
  const float value = 1;
  expect_error(ExitCode::kInternal, "twice or reserved", [&] { encode_safetensors({{"a", {}, &value}, {"a", {}, &value}}, {}); });
  expect_error(ExitCode::kInternal, "twice or reserved", [&] { encode_safetensors({{"__metadata__", {}, &value}}, {}); });
  expect_error(ExitCode::kInternal, "shape [-1]", [&] { encode_safetensors({{"a", {-1}, &value}}, {}); });
  expect_error(ExitCode::kInternal, "shape [", [&] { encode_safetensors({{"a", {std::int64_t{1} << 62, 4}, &value}}, {}); });
  expect_error(ExitCode::kInternal, "no UTF-8", [&] { encode_safetensors({{"\xff", {}, &value}}, {}); });
}

TEST_F(Safetensors, AcceptsAndRefusesAsThePythonPackage) {
  int accepted = 0, refusals = 0;
  for (const auto& item : nlohmann::json::parse(read_file(fixture("safetensors_cases.json")))) {
    const std::string header = bytes_of(item["header"].get<std::string>());
    const std::string path = folder_.put("f.safetensors", with_header(header, item["data_bytes"].get<std::size_t>()));
    bool taken_here = true;
    std::string reason;
    try {
      const SafetensorsFile file(path);
    } catch (const Error& error) {
      taken_here = false;
      reason = error.what();
      EXPECT_EQ(error.code(), ExitCode::kBadData) << reason;
      EXPECT_EQ(reason.rfind(path, 0), 0u) << reason;
    }
    EXPECT_EQ(taken_here, item["accepted"].get<bool>()) << item["name"] << ": " << reason;
    ++(taken_here ? accepted : refusals);
  }
  EXPECT_GT(accepted, 30);
  EXPECT_GT(refusals, 100);
}

TEST_F(Safetensors, StricterThanThePythonPackageOnPurpose) {
  const std::string good = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  refused(with_header(R"({"a":)" + good + R"(,"a":)" + good + "}", 8), "'a' twice");
  refused(with_header(R"({"a":)" + good + R"(,"\u0061":)" + good + "}", 8), "'a' twice");
  refused(with_header(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "key 'k' twice");
  refused(with_header(R"({"a":["F32",[2],[0,8]]})", 8), "a list where it does not belong");
  refused(with_header(R"({"a":{"dtype":{"F32":null},"shape":[2],"data_offsets":[0,8]}})", 8),
          "an object where it does not belong");
  refused(with_header(R"({"a":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}})", 0), "a dimension of");
}

TEST_F(Safetensors, ShardsOfAnIndex) {
  const std::string folder = folder_.path().string();
  EXPECT_EQ(safetensors_shards(folder), (std::vector<std::string>{"model.safetensors"}));
  const auto with = [&](const std::string& map) {
    folder_.put("model.safetensors.index.json", R"({"metadata":{"total_size":1},"weight_map":)" + map + "}");
    return safetensors_shards(folder);
  };
  EXPECT_EQ(with(R"({"b":"2.safetensors","a":"1.safetensors","c":"1.safetensors"})"),
            (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  EXPECT_TRUE(with("{}").empty());
  std::filesystem::create_symlink("elsewhere", folder_.path() / "link");
  for (const std::string& name :
       {std::string("\"../x\""), std::string("\"/etc/passwd\""), std::string("\"a/b\""), std::string("\"..\""),
        std::string("\"link\""), std::string("\"\""), std::string("3"), std::string("null"), std::string("\"a\\u0000b\""),
        '"' + std::string(256, 'a') + '"', '"' + std::string(5000, 'a') + '"'}) {
    expect_error(ExitCode::kBadData, "tensor 'a' points to", [&] { with(R"({"a":)" + name + "}"); });
    expect_error(ExitCode::kBadData, "not a plain file of this folder", [&] { with(R"({"a":)" + name + "}"); });
  }
  expect_error(ExitCode::kBadData, "'a' is there twice", [&] { with(R"({"a":"1","a":"2"})"); });
  expect_error(ExitCode::kBadData, "deeper than 64", [&] { with(std::string(100'000, '[')); });
  expect_error(ExitCode::kBadData, "no 'weight_map'", [&] { with("[]"); });
  expect_error(ExitCode::kBadData, "not valid JSON", [&] { with("{"); });
}

TEST_F(Safetensors, LengthOfTheHeader) {
  refused("", "too short");
  refused(std::string(7, '\0'), "too short");
  refused(std::string(8, '\0'), "no valid JSON");
  const std::string good = with_header("{}", 0);
  for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{100'000'000}})
    refused(raw(length) + good.substr(8), "truncated");
  for (const std::uint64_t length :
       {std::uint64_t{100'000'001}, std::uint64_t{1} << 63, std::numeric_limits<std::uint64_t>::max()}) {
    refused(raw(length) + good.substr(8), "more than 100000000");
  }
  expect_error(ExitCode::kNoInput, "No such file", [&] { SafetensorsFile{folder_.file("none")}; });
}

/// The most memory since the last call.
double peak_mb() {
  double peak = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) peak = std::stod(line.substr(6)) / 1024;
  std::ofstream("/proc/self/clear_refs") << "5";
  return peak;
}

/// S2: whatever the header says, a refusal takes neither long nor much memory.
TEST_F(Safetensors, RefusesWithinBounds) {
  const std::string good = with_header("{}", 0);
  std::string many = "{";
  for (int i = 0; i < 2'000; ++i)
    many += fmt::format(R"("t{}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}},)", i, 4 * i, 4 * i + 4);
  std::vector<std::string> bad = {
      raw(std::uint64_t{100'000'000}) + good.substr(8), raw(~std::uint64_t{0}) + good.substr(8),
      with_header(std::string(100'000, '['), 0), with_header(many + R"("x":3})", 8'000),
      with_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8)};
  for (const std::string& bytes : bad) {
    const std::string path = folder_.put("f.safetensors", bytes);
    double best = 1;  // seconds, of three: another program may take the core away
    peak_mb();
    [[maybe_unused]] const double before = peak_mb();
    for (int i = 0; i < 3; ++i) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_THROW(SafetensorsFile{path}, Error);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
#if !defined(THINKREC_SANITIZED)
    EXPECT_LT(best, 0.05) << bytes.substr(0, 60);
    EXPECT_LT(peak_mb() - before, 16) << bytes.substr(0, 60);
#endif
  }
}

TEST_F(Safetensors, Depth) {
  const auto nested = [](std::size_t depth) {
    return with_header(
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":)" + std::string(depth, '[') + std::string(depth, ']') + "}}",
        8);
  };
  EXPECT_EQ(taken(nested(125)).entries().size(), 1u);
  refused(nested(126), "deeper than 127");
  refused(nested(100'000), "deeper than 127");
  refused(with_header(std::string(100'000, '['), 0), "a list where it does not belong");
}

TEST_F(Safetensors, NamesTheTensor) {
  refused(with_header(R"({"a\nb\u001b":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), R"(tensor 'a\x0ab\x1b')");
  refused(with_header(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
          "tensor 'w': F32 of shape [3] does not take the 8 bytes");
  refused(with_header(R"({"w":{"dtype":"X9","shape":[3],"data_offsets":[0,8]}})", 8), "tensor 'w': unknown dtype 'X9'");
  refused(with_header(R"({"__metadata__":{"k":3}})", 0), "__metadata__: a number");
}

TEST_F(Safetensors, AFileThatShrinksIsAnErrorAndNoSignal) {
  const std::vector<float> values(5000, 1.f);
  const SafetensorsFile file = taken(encode_safetensors({{"a", {5000}, values.data()}}, {}));
  std::filesystem::resize_file(file.path(), 4000);
  std::vector<float> got(5000);
  expect_error(ExitCode::kBadData, "truncated", [&] { file.read(*file.find("a"), got.data()); });
}

TEST_F(Safetensors, MutantsAreReadOrRefused) {
  const std::string whole = read_file(fixture("mixed.safetensors"));
  std::mt19937 random(9);
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = whole;
    for (unsigned i = 0, count = 1 + random() % 3; i < count; ++i) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 4);
          break;
        default:
          bytes.insert(at, 1, "0123456789[]{},:\"\\"[random() % 18]);
          break;
      }
    }
    try {
      const SafetensorsFile file = taken(bytes);
      for (const auto& entry : file.entries()) {
        std::vector<float> values(static_cast<std::size_t>(entry.elements));
        if (entry.dtype == "F32" || entry.dtype == "F16" || entry.dtype == "BF16") file.read(entry, values.data());
      }
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ExitCode::kBadData) << error.what();
    }
  }
}

}  // namespace
}  // namespace thinkrec
