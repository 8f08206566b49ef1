#pragma once
// What the tests of src/text share: a folder that goes away, fixtures, the look of an expected error, and small tokenizer files.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "support/testing.h"

namespace thinkrec::testing {

using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

inline std::string fixture(const std::string& name) { return std::string(THINKREC_SOURCE_DIR) + "/tests/text/fixtures/" + name; }

inline std::string fixture_bytes(const std::string& name) {
  std::ifstream file(fixture(name), std::ios::binary);
  if (!file) throw std::runtime_error("no fixture " + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Json fixture_json(const std::string& name) { return Json::parse(fixture_bytes(name)); }

/// Random UTF-8: code points of one to four bytes, many of them spaces, digits and apostrophes.
inline std::u32string random_code_points(std::mt19937& random, std::size_t longest) {
  static constexpr char32_t kOften[] = U" \n\r\t'stSdl019aA.!\u00a0\u3000\u017f\u0301\u00b2\u0663";
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  std::u32string text(below(static_cast<std::uint32_t>(longest) + 1), U' ');
  for (char32_t& c : text) {
    const std::uint32_t kind = below(4);
    c = kind < 2 ? kOften[below(std::size(kOften) - 1)] : kind == 2 ? below(0x3000) : below(0x110000);
    if (c >= 0xd800 && c <= 0xdfff) c = U'\ufffd';
  }
  return text;
}

/// A GGUF file with metadata only.
class GgufBuilder {
 public:
  GgufBuilder& text(const std::string& key, const std::string& value) { return add(key, kText, string(value)); }
  GgufBuilder& flag(const std::string& key, bool value) { return add(key, kBool, std::string(1, value ? '\1' : '\0')); }
  GgufBuilder& number(const std::string& key, std::uint32_t value) { return add(key, kUint32, raw(value)); }
  GgufBuilder& long_number(const std::string& key, std::int64_t value) { return add(key, kInt64, raw(value)); }
  GgufBuilder& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = raw(std::uint32_t{kText}) + raw(std::uint64_t{values.size()});
    for (const auto& value : values) bytes += string(value);
    return add(key, kArray, bytes);
  }
  GgufBuilder& numbers(const std::string& key, const std::vector<std::int32_t>& values) {
    std::string bytes = raw(std::uint32_t{kInt32}) + raw(std::uint64_t{values.size()});
    for (const auto value : values) bytes += raw(value);
    return add(key, kArray, bytes);
  }
  std::string bytes() const { return "GGUF" + raw(std::uint32_t{3}) + raw(std::uint64_t{0}) + raw(count_) + body_; }

 private:
  enum Type : std::uint32_t { kUint32 = 4, kInt32 = 5, kBool = 7, kText = 8, kArray = 9, kInt64 = 11 };
  template <class T>
  static std::string raw(T value) {
    std::string out(sizeof(value), '\0');
    std::memcpy(out.data(), &value, sizeof(value));
    return out;
  }
  static std::string string(const std::string& value) { return raw(std::uint64_t{value.size()}) + value; }
  GgufBuilder& add(const std::string& key, Type type, const std::string& value) {
    body_ += string(key) + raw(static_cast<std::uint32_t>(type)) + value;
    ++count_;
    return *this;
  }

  std::string body_;
  std::uint64_t count_ = 0;
};

}  // namespace thinkrec::testing
