#include <array>
#include <bit>
#include <cstring>

#include "io/float_convert.h"
#include "io/gguf.h"
#include "io/gguf_types.h"

namespace thinkrec {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF data is little-endian and is read as it lies");

constexpr std::size_t kBlock = 32;

std::uint16_t load16(const std::uint8_t* from) {
  std::uint16_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// Scale times quant is exact in fp32 (11 bits by at most 8), so a fused multiply-add rounds as the two steps of the reference do.

void dequantize_f32(const std::uint8_t* blocks, std::size_t count, float* out) {
  std::memcpy(out, blocks, count * sizeof(float));
}

void dequantize_f16(const std::uint8_t* blocks, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = half_to_float(load16(blocks + 2 * i));
}

void dequantize_bf16(const std::uint8_t* blocks, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = bfloat16_to_float(load16(blocks + 2 * i));
}

/// fp16 scale, 16 bytes: low nibbles are values 0..15, high nibbles 16..31, shifted by 8.
void dequantize_q4_0(const std::uint8_t* blocks, std::size_t count, float* out) {
  for (std::size_t b = 0; b < count; ++b, blocks += 18, out += kBlock) {
    const float scale = half_to_float(load16(blocks));
    for (std::size_t i = 0; i < kBlock / 2; ++i) {
      const int packed = blocks[2 + i];
      out[i] = scale * static_cast<float>((packed & 15) - 8);
      out[i + kBlock / 2] = scale * static_cast<float>((packed >> 4) - 8);
    }
  }
}

/// fp16 scale, fp16 minimum, 16 bytes of nibbles as in Q4_0 but without the shift.
void dequantize_q4_1(const std::uint8_t* blocks, std::size_t count, float* out) {
  for (std::size_t b = 0; b < count; ++b, blocks += 20, out += kBlock) {
    const float scale = half_to_float(load16(blocks)), minimum = half_to_float(load16(blocks + 2));
    for (std::size_t i = 0; i < kBlock / 2; ++i) {
      const int packed = blocks[4 + i];
      out[i] = scale * static_cast<float>(packed & 15) + minimum;
      out[i + kBlock / 2] = scale * static_cast<float>(packed >> 4) + minimum;
    }
  }
}

/// fp16 scale, 32 signed bytes.
void dequantize_q8_0(const std::uint8_t* blocks, std::size_t count, float* out) {
  for (std::size_t b = 0; b < count; ++b, blocks += 34, out += kBlock) {
    const float scale = half_to_float(load16(blocks));
    for (std::size_t i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(static_cast<std::int8_t>(blocks[2 + i]));
  }
}

// The types thinkrec cannot read are here for their sizes, so that a file which holds some can still be checked and listed.
constexpr std::array kTypes = {
    GgmlType{0, "F32", 1, 4, dequantize_f32},
    GgmlType{1, "F16", 1, 2, dequantize_f16},
    GgmlType{2, "Q4_0", 32, 18, dequantize_q4_0},
    GgmlType{3, "Q4_1", 32, 20, dequantize_q4_1},
    GgmlType{6, "Q5_0", 32, 22, nullptr},
    GgmlType{7, "Q5_1", 32, 24, nullptr},
    GgmlType{8, "Q8_0", 32, 34, dequantize_q8_0},
    GgmlType{9, "Q8_1", 32, 40, nullptr},
    GgmlType{10, "Q2_K", 256, 84, nullptr},
    GgmlType{11, "Q3_K", 256, 110, nullptr},
    GgmlType{12, "Q4_K", 256, 144, nullptr},
    GgmlType{13, "Q5_K", 256, 176, nullptr},
    GgmlType{14, "Q6_K", 256, 210, nullptr},
    GgmlType{15, "Q8_K", 256, 292, nullptr},
    GgmlType{16, "IQ2_XXS", 256, 66, nullptr},
    GgmlType{17, "IQ2_XS", 256, 74, nullptr},
    GgmlType{18, "IQ3_XXS", 256, 98, nullptr},
    GgmlType{19, "IQ1_S", 256, 50, nullptr},
    GgmlType{20, "IQ4_NL", 32, 18, nullptr},
    GgmlType{21, "IQ3_S", 256, 110, nullptr},
    GgmlType{22, "IQ2_S", 256, 82, nullptr},
    GgmlType{23, "IQ4_XS", 256, 136, nullptr},
    GgmlType{24, "I8", 1, 1, nullptr},
    GgmlType{25, "I16", 1, 2, nullptr},
    GgmlType{26, "I32", 1, 4, nullptr},
    GgmlType{27, "I64", 1, 8, nullptr},
    GgmlType{28, "F64", 1, 8, nullptr},
    GgmlType{29, "IQ1_M", 256, 56, nullptr},
    GgmlType{30, "BF16", 1, 2, dequantize_bf16},
    GgmlType{34, "TQ1_0", 256, 54, nullptr},
    GgmlType{35, "TQ2_0", 256, 66, nullptr},
    GgmlType{39, "MXFP4", 32, 17, nullptr},
};

}  // namespace

const GgmlType* find_ggml_type(std::uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

std::string gguf_type_name(std::uint32_t type) {
  const GgmlType* found = find_ggml_type(type);
  return found != nullptr ? found->name : "type " + std::to_string(type);
}

}  // namespace thinkrec
