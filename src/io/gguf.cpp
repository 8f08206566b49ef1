#include "io/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "io/gguf_types.h"
#include "io/printable.h"

namespace thinkrec {
namespace {

constexpr std::uint64_t kMaxKeys = 100'000, kMaxArray = 10'000'000, kMaxString = std::uint64_t{64} << 20, kMaxTensors = 1'000'000;
constexpr std::uint64_t kMaxName = 65'535, kMaxAlignment = std::uint64_t{1} << 30;
constexpr std::uint32_t kMaxDimensions = 8;
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

enum ValueType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
  kValueTypes
};
constexpr std::array<std::uint64_t, kValueTypes> kLeastBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

/// Reads the head of the file in order, through one buffer; every failure names the field at hand.
class Cursor {
 public:
  explicit Cursor(const RandomAccessFile& file) : file_(file) {}

  std::uint64_t position() const { return start_ + at_; }
  std::uint64_t left() const { return file_.size() - position(); }
  void set_field(std::string field) { field_ = std::move(field); }

  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ExitCode::kBadData, "{}: {}: {}", file_.path(), field_, fmt::format(format, std::forward<Args>(args)...));
  }

  void bytes(void* out, std::size_t count) {
    if (count > left()) bad("the file ends in it (truncated)");
    char* to = static_cast<char*>(out);
    while (count > 0) {
      if (at_ == buffer_.size()) refill();
      const std::size_t part = std::min(count, buffer_.size() - at_);
      std::memcpy(to, buffer_.data() + at_, part);
      to += part;
      at_ += part;
      count -= part;
    }
  }

  template <class T>
  T number() {
    T value;
    bytes(&value, sizeof(value));
    return value;
  }

  std::string string(std::uint64_t longest) {
    const auto length = number<std::uint64_t>();
    if (length > longest) bad("a string of {} bytes, more than {}", length, longest);
    if (length > left()) bad("the file ends in it (truncated)");
    std::string text(static_cast<std::size_t>(length), '\0');
    bytes(text.data(), text.size());
    return text;
  }

 private:
  void refill() {
    start_ += buffer_.size();
    at_ = 0;
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, file_.size() - start_)));
    file_.read_at(start_, buffer_.data(), buffer_.size());
  }

  const RandomAccessFile& file_;
  std::string field_ = "header";
  std::vector<char> buffer_;
  std::uint64_t start_ = 0;  // of the buffer, in the file
  std::size_t at_ = 0;
};

std::int64_t read_integer(Cursor& in, std::uint32_t type) {
  switch (type) {
    case kUint8:
      return in.number<std::uint8_t>();
    case kInt8:
      return in.number<std::int8_t>();
    case kUint16:
      return in.number<std::uint16_t>();
    case kInt16:
      return in.number<std::int16_t>();
    case kUint32:
      return in.number<std::uint32_t>();
    case kInt32:
      return in.number<std::int32_t>();
    case kBool:
      return in.number<std::uint8_t>() != 0 ? 1 : 0;
    case kInt64:
      return in.number<std::int64_t>();
    default:
      break;
  }
  const auto value = in.number<std::uint64_t>();
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) in.bad("{} is above 2^63-1", value);
  return static_cast<std::int64_t>(value);
}

double read_real(Cursor& in, std::uint32_t type) {
  return type == kFloat32 ? static_cast<double>(in.number<float>()) : in.number<double>();
}

template <class T, class Read>
GgufValue read_elements(std::uint64_t count, Read read) {
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) values.push_back(read());
  return values;
}

GgufValue read_array(Cursor& in) {
  const auto type = in.number<std::uint32_t>();
  const auto count = in.number<std::uint64_t>();
  if (type >= kValueTypes) in.bad("an array of the unknown value type {}", type);
  if (type == kArray) in.bad("an array of arrays, which thinkrec does not read");
  if (count > kMaxArray) in.bad("an array of {} elements, more than {}", count, kMaxArray);
  // Checked before memory is reserved: what the file has room for bounds what is reserved.
  if (count > in.left() / kLeastBytes[type]) in.bad("an array of {} elements does not fit the file (truncated)", count);
  if (type == kString) return read_elements<std::string>(count, [&] { return in.string(kMaxString); });
  if (type == kFloat32 || type == kFloat64) return read_elements<double>(count, [&] { return read_real(in, type); });
  return read_elements<std::int64_t>(count, [&] { return read_integer(in, type); });
}

GgufValue read_value(Cursor& in) {
  const auto type = in.number<std::uint32_t>();
  if (type >= kValueTypes) in.bad("unknown value type {}", type);
  if (type == kArray) return read_array(in);
  if (type == kString) return in.string(kMaxString);
  if (type == kFloat32 || type == kFloat64) return read_real(in, type);
  if (type == kBool) return read_integer(in, type) != 0;
  return read_integer(in, type);
}

std::uint64_t alignment_of(Cursor& in, const std::map<std::string, GgufValue>& metadata) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  in.set_field("general.alignment");
  const auto* value = std::get_if<std::int64_t>(&found->second);
  if (value == nullptr) in.bad("not an integer");
  const auto alignment = static_cast<std::uint64_t>(*value);
  if (alignment == 0 || alignment > kMaxAlignment || (alignment & (alignment - 1)) != 0)
    in.bad("{} is no power of two up to 2^30", *value);
  return alignment;
}

/// Name, shape, type and the offset relative to the start of the data.
GgufTensor read_tensor_info(Cursor& in) {
  GgufTensor tensor;
  tensor.name = in.string(kMaxName);
  in.set_field("tensor '" + printable(tensor.name) + "'");
  const auto dimensions = in.number<std::uint32_t>();
  if (dimensions > kMaxDimensions) in.bad("{} dimensions, more than {}", dimensions, kMaxDimensions);
  tensor.elements = 1;
  for (std::uint32_t d = 0; d < dimensions; ++d) {
    const auto extent = in.number<std::uint64_t>();
    if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) in.bad("a dimension of {}", extent);
    tensor.shape.push_back(static_cast<std::int64_t>(extent));
    if (__builtin_mul_overflow(tensor.elements, tensor.shape.back(), &tensor.elements))
      in.bad("its number of elements overflows");
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  tensor.type = in.number<std::uint32_t>();
  tensor.offset = in.number<std::uint64_t>();
  return tensor;
}

/// Bytes of a tensor in the file; 0 for a type not known here, which can be listed but not read.
std::uint64_t tensor_bytes(Cursor& in, const GgufTensor& tensor) {
  const GgmlType* type = find_ggml_type(tensor.type);
  if (type == nullptr) return 0;
  const std::int64_t width = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (width % type->block_elements != 0)
    in.bad("rows of {} are no multiple of {}, the block of {}", width, type->block_elements, type->name);
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(tensor.elements / type->block_elements), std::uint64_t{type->block_bytes},
                             &bytes)) {
    in.bad("its size overflows");
  }
  return bytes;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(path) {
  Cursor in(file_);
  char magic[4];
  if (file_.size() < sizeof(magic)) fail(ExitCode::kBadData, "{}: not a GGUF file ({} bytes)", path, file_.size());
  in.bytes(magic, sizeof(magic));
  if (std::memcmp(magic, "GGUF", sizeof(magic)) != 0)
    fail(ExitCode::kBadData, "{}: not a GGUF file (it does not begin with 'GGUF')", path);
  const auto version = in.number<std::uint32_t>();
  if (version == 0x02000000u || version == 0x03000000u) in.bad("big-endian, which thinkrec does not read");
  if (version != 2 && version != 3) in.bad("GGUF version {}; versions 2 and 3 are read", version);
  const auto tensor_count = in.number<std::uint64_t>();
  const auto key_count = in.number<std::uint64_t>();
  if (tensor_count > kMaxTensors) in.bad("{} tensors, more than {}", tensor_count, kMaxTensors);
  if (key_count > kMaxKeys) in.bad("{} metadata keys, more than {}", key_count, kMaxKeys);

  for (std::uint64_t i = 0; i < key_count; ++i) {
    in.set_field("metadata key " + std::to_string(i));
    std::string key = in.string(kMaxName);
    in.set_field("metadata '" + printable(key) + "'");
    if (!metadata_.emplace(std::move(key), read_value(in)).second) in.bad("given twice");
  }

  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    in.set_field("tensor " + std::to_string(i));
    tensors_.push_back(read_tensor_info(in));
    if (!index_.emplace(tensors_.back().name, tensors_.size() - 1).second) in.bad("given twice");
  }

  const std::uint64_t head = in.position(), alignment = alignment_of(in, metadata_);
  const std::uint64_t data = (head + alignment - 1) / alignment * alignment;
  for (GgufTensor& tensor : tensors_) {
    in.set_field("tensor '" + printable(tensor.name) + "'");
    if (tensor.offset % alignment != 0) in.bad("its offset {} is no multiple of the alignment {}", tensor.offset, alignment);
    const std::uint64_t bytes = tensor_bytes(in, tensor);
    std::uint64_t end = 0;
    if (__builtin_add_overflow(tensor.offset, data, &tensor.offset) || __builtin_add_overflow(tensor.offset, bytes, &end) ||
        end > file_.size()) {
      in.bad("it reaches past the end of the file (truncated, or a wrong offset)");
    }
  }
}

GgufFile::~GgufFile() = default;
GgufFile::GgufFile(GgufFile&&) noexcept = default;

template <class T>
const T& GgufFile::get(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail(ExitCode::kBadData, "{}: metadata '{}' is missing", path(), key);
  const T* value = std::get_if<T>(&found->second);
  constexpr std::array kNames = {
      "a bool", "an integer", "a float", "a string", "an array of integers", "an array of floats", "an array of strings"};
  if (value == nullptr) {
    fail(ExitCode::kBadData, "{}: metadata '{}' is {}, expected {}", path(), key, kNames[found->second.index()],
         kNames[GgufValue(T()).index()]);
  }
  return *value;
}

template const bool& GgufFile::get(const std::string&) const;
template const std::int64_t& GgufFile::get(const std::string&) const;
template const double& GgufFile::get(const std::string&) const;
template const std::string& GgufFile::get(const std::string&) const;
template const std::vector<std::int64_t>& GgufFile::get(const std::string&) const;
template const std::vector<double>& GgufFile::get(const std::string&) const;
template const std::vector<std::string>& GgufFile::get(const std::string&) const;

const GgufTensor& GgufFile::tensor(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail(ExitCode::kBadData, "{}: tensor '{}' is missing", path(), name);
  return tensors_[found->second];
}

void GgufFile::read(const GgufTensor& tensor, float* out) const {
  const GgmlType* type = find_ggml_type(tensor.type);
  if (type == nullptr || type->dequantize == nullptr) {
    fail(ExitCode::kBadData, "{}: tensor '{}' is {}; thinkrec reads F32, F16, BF16, Q8_0, Q4_0 and Q4_1", path(),
         printable(tensor.name), gguf_type_name(tensor.type));
  }
  const std::size_t part = std::max<std::size_t>(1, kReadBytes / type->block_bytes);
  std::size_t left = static_cast<std::size_t>(tensor.elements) / type->block_elements;
  std::vector<std::uint8_t> buffer(std::min(part, left) * type->block_bytes);
  for (std::uint64_t at = tensor.offset; left > 0;) {
    const std::size_t blocks = std::min(part, left);
    file_.read_at(at, buffer.data(), blocks * type->block_bytes);
    type->dequantize(buffer.data(), blocks, out);
    out += blocks * type->block_elements;
    at += blocks * type->block_bytes;
    left -= blocks;
  }
}

}  // namespace thinkrec
