#include "io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/joined.h"
#include "io/printable.h"

namespace thinkrec {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxDepth = 127;  // as serde_json

struct Dtype {
  std::string_view name;
  std::uint64_t bits;
};
constexpr Dtype kDtypes[] = {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
                             {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
                             {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
                             {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};

/// 0 for an unknown one.
std::uint64_t dtype_bits(std::string_view name) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.name == name) return dtype.bits;
  }
  return 0;
}

/// Takes nlohmann's events instead of its tree: the tree drops duplicate keys in silence and has no limit of depth.
class HeaderEvents : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderEvents(SafetensorsHeader& header) : header_(header) {}

  const std::string& defect() const { return defect_; }

  bool null() override {
    if (place() == Place::kTop && in_metadata_) return end_value();  // "__metadata__": null
    return other("null");
  }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a fraction"); }
  bool binary(binary_t&) override { return other("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place() == Place::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return bad("a dimension of {}", value);
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place() == Place::kOffsets) {
      if (offsets_ == 2) return bad("data_offsets are not two numbers");
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return other("a number");
  }

  bool string(string_t& value) override {
    if (place() == Place::kMetadata) {
      header_.metadata[key_] = value;
      return true;
    }
    if (place() == Place::kTensor && field_ == Field::kDtype) {
      if (dtype_bits(value) == 0) return bad("unknown dtype '{}'", printable(value));
      entry_.dtype = value;
      return true;
    }
    return other("a string");
  }

  bool start_object(std::size_t) override {
    if (places_.empty()) return enter(Place::kTop);
    if (place() == Place::kTop) return enter(in_metadata_ ? Place::kMetadata : Place::kTensor);
    return other("an object") && enter(Place::kIgnored);
  }

  bool start_array(std::size_t) override {
    if (place() == Place::kTensor && field_ == Field::kShape) return enter(Place::kShape);
    if (place() == Place::kTensor && field_ == Field::kOffsets) return enter(Place::kOffsets);
    return other("a list") && enter(Place::kIgnored);
  }

  bool key(string_t& name) override {
    switch (place()) {
      case Place::kTop:
        return start_top(name);
      case Place::kMetadata:
        key_ = name;
        return !header_.metadata.contains(name) || bad("key '{}' twice", printable(name));
      case Place::kTensor:
        return start_field(name);
      default:
        return true;
    }
  }

  bool end_object() override {
    const Place left = leave();
    if (left == Place::kTensor) {
      if (seen_ != kAllFields) return bad("dtype, shape or data_offsets is missing");
      header_.entries.push_back(std::exchange(entry_, {}));
    }
    return left == Place::kTop || place() != Place::kTop || end_value();
  }

  bool end_array() override { return leave() != Place::kOffsets || offsets_ == 2 || bad("data_offsets are not two numbers"); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    defect_ = fmt::format("no valid JSON near byte {}: {}", position, printable(error.what()));
    return false;
  }

 private:
  enum class Place { kNone, kTop, kMetadata, kTensor, kShape, kOffsets, kIgnored };
  enum class Field { kDtype, kShape, kOffsets, kUnknown };
  static constexpr unsigned kAllFields = 7;

  Place place() const { return places_.empty() ? Place::kNone : places_.back(); }

  bool enter(Place next) {
    if (places_.size() == kMaxDepth) return bad("nested deeper than {} levels", kMaxDepth);
    places_.push_back(next);
    return true;
  }

  Place leave() {
    const Place left = places_.back();
    places_.pop_back();
    return left;
  }

  bool end_value() {
    in_metadata_ = false;
    return true;
  }

  template <class... Args>
  bool bad(fmt::format_string<Args...> format, Args&&... args) {
    defect_ = fmt::format(format, std::forward<Args>(args)...);
    if (in_metadata_) defect_ = "__metadata__: " + defect_;
    if (!in_metadata_ && !places_.empty() && !entry_.name.empty())
      defect_ = "tensor '" + printable(entry_.name) + "': " + defect_;
    return false;
  }

  /// A value that is not one of those known: fine within a field nobody knows, wrong elsewhere.
  bool other(const char* what) {
    if (place() == Place::kIgnored || (place() == Place::kTensor && field_ == Field::kUnknown)) return true;
    return bad("{} where it does not belong", what);
  }

  bool start_top(const std::string& name) {
    in_metadata_ = name == "__metadata__";
    entry_ = {};
    seen_ = 0;
    offsets_ = 0;
    if (!names_.insert(name).second) return bad("'{}' twice", printable(name));
    if (!in_metadata_) entry_.name = name;
    return true;
  }

  bool start_field(const std::string& name) {
    field_ = name == "dtype"          ? Field::kDtype
             : name == "shape"        ? Field::kShape
             : name == "data_offsets" ? Field::kOffsets
                                      : Field::kUnknown;
    if (field_ == Field::kUnknown) return true;
    const unsigned bit = 1u << static_cast<unsigned>(field_);
    if ((seen_ & bit) != 0) return bad("{} twice", name);
    seen_ |= bit;
    return true;
  }

  SafetensorsHeader& header_;
  std::unordered_set<std::string> names_;
  std::vector<Place> places_;
  SafetensorsEntry entry_;  // the one being read
  std::string key_, defect_;
  bool in_metadata_ = false;
  Field field_ = Field::kUnknown;
  unsigned seen_ = 0;     // bits of the fields read
  unsigned offsets_ = 0;  // how many
};

/// Shape against dtype and offsets. A product that overflows on the way is refused even if a later dimension is 0, as the
/// reference does.
void check_size(SafetensorsEntry& entry, const std::string& origin) {
  std::uint64_t elements = 1, bits = 0;
  bool overflow = false;
  for (const std::int64_t extent : entry.shape)
    overflow = overflow || __builtin_mul_overflow(elements, static_cast<std::uint64_t>(extent), &elements);
  overflow = overflow || __builtin_mul_overflow(elements, dtype_bits(entry.dtype), &bits);
  if (overflow || bits % 8 != 0 || bits / 8 != entry.end - entry.begin) {
    fail(ExitCode::kBadData, "{}: tensor '{}': {} of shape [{}] does not take the {} bytes of its data_offsets", origin,
         printable(entry.name), entry.dtype, joined(entry.shape, ", "), entry.end - entry.begin);
  }
  entry.elements = static_cast<std::int64_t>(elements);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(const std::string& text, std::uint64_t data_begin, std::uint64_t data_bytes,
                                           const std::string& origin) {
  // nlohmann takes a zero byte for the end and skips a byte order mark; JSON has neither.
  if (text.empty() || text.front() == '\xef' || text.find('\0') != std::string::npos) {
    fail(ExitCode::kBadData, "{}: header: no valid JSON", origin);
  }
  SafetensorsHeader header;
  HeaderEvents events(header);
  if (!Json::sax_parse(text, &events)) fail(ExitCode::kBadData, "{}: header: {}", origin, events.defect());

  auto& entries = header.entries;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (SafetensorsEntry& entry : entries) {
    if (entry.begin != at || entry.end < at) {
      fail(ExitCode::kBadData, "{}: tensor '{}': data_offsets [{}, {}] leave a hole, overlap or run backwards", origin,
           printable(entry.name), entry.begin, entry.end);
    }
    check_size(entry, origin);
    at = entry.end;
  }
  if (at != data_bytes)
    fail(ExitCode::kBadData, "{}: the tensors take {} bytes, the file holds {} (truncated or too long)", origin, at, data_bytes);
  for (SafetensorsEntry& entry : entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return header;
}

}  // namespace thinkrec
