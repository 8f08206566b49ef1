#include "text/sentencepiece_model.h"

#include <cstdint>
#include <functional>
#include <optional>

namespace thinkrec {
namespace {

/// One field of a protocol buffer: a number, or the bytes of a text or message.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string_view bytes;
};

std::optional<std::uint64_t> take_varint(std::string_view& from) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> take_bytes(std::string_view& from, std::uint64_t count) {
  if (count > from.size()) return std::nullopt;
  const std::string_view taken = from.substr(0, static_cast<std::size_t>(count));
  from.remove_prefix(taken.size());
  return taken;
}

std::optional<Field> take_field(std::string_view& from) {
  enum Wire : std::uint64_t { kVarint = 0, kEight = 1, kBytes = 2, kFour = 5 };
  const auto tag = take_varint(from);
  if (!tag) return std::nullopt;
  Field field;
  field.number = *tag >> 3;
  std::optional<std::uint64_t> length;
  switch (*tag & 7) {
    case kVarint: {
      const auto value = take_varint(from);
      if (!value) return std::nullopt;
      field.value = *value;
      return field;
    }
    case kEight:
      length = 8;
      break;
    case kFour:
      length = 4;
      break;
    case kBytes:
      length = take_varint(from);
      break;
    default:
      return std::nullopt;
  }
  const auto bytes = length ? take_bytes(from, *length) : std::nullopt;
  if (!bytes) return std::nullopt;
  field.bytes = *bytes;
  return field;
}

void each_field(std::string_view message, const std::function<void(const Field&)>& take) {
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) return;
    take(*field);
  }
}

}  // namespace

SentencePieceSettings read_sentencepiece_settings(std::string_view model) {
  constexpr std::uint64_t kTrainer = 2, kNormalizer = 3;                      // of ModelProto
  constexpr std::uint64_t kType = 3, kSpaceBehind = 24, kCharacterTable = 2;  // of TrainerSpec, and NormalizerSpec's
  SentencePieceSettings settings;
  each_field(model, [&](const Field& part) {
    if (part.number != kTrainer && part.number != kNormalizer) return;
    each_field(part.bytes, [&](const Field& field) {
      if (part.number == kTrainer && field.number == kType) settings.type = static_cast<int>(field.value);
      if (part.number == kTrainer && field.number == kSpaceBehind) settings.space_behind = field.value != 0;
      if (part.number == kNormalizer && field.number == kCharacterTable) settings.normalises = !field.bytes.empty();
    });
  });
  return settings;
}

}  // namespace thinkrec
