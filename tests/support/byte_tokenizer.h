#pragma once
// A tokenizer whose tokens can be counted by eye.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace thinkrec::testing {

/// One token a byte, so that prompts can be read back.
class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids)
      text += id < 0 ? std::string("#") : id < 256 ? std::string(1, static_cast<char>(id)) : std::string("$");
    return text;
  }
  std::int32_t size() const override { return 258; }
  std::optional<std::int32_t> bos() const override { return std::nullopt; }
  std::optional<std::int32_t> eos() const override { return 257; }
  std::optional<std::int32_t> find_special(std::string_view) const override { return std::nullopt; }
  std::string hash() const override { return "bytes"; }
};

}  // namespace thinkrec::testing
