#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/joined.h"
#include "io/file.h"
#include "io/float_convert.h"
#include "io/printable.h"
#include "io/safetensors_header.h"
#include "kernels/bfloat16.h"

namespace thinkrec {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and is read as it lies");

constexpr std::uint64_t kLengthBytes = 8, kMaxHeader = 100'000'000;

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  if (file_.size() < kLengthBytes) fail(ExitCode::kBadData, "{}: {} bytes, too short for a safetensors file", path, file_.size());
  std::uint64_t length = 0;
  file_.read_at(0, &length, kLengthBytes);
  if (length > kMaxHeader) fail(ExitCode::kBadData, "{}: a header of {} bytes, more than {}", path, length, kMaxHeader);
  if (length > file_.size() - kLengthBytes)
    fail(ExitCode::kBadData, "{}: a header of {} bytes in a file of {} (truncated)", path, length, file_.size());
  std::string text(static_cast<std::size_t>(length), '\0');
  file_.read_at(kLengthBytes, text.data(), text.size());
  const std::uint64_t data = kLengthBytes + length;
  SafetensorsHeader header = parse_safetensors_header(text, data, file_.size() - data, path);
  entries_ = std::move(header.entries);
  metadata_ = std::move(header.metadata);
  for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].name, i);
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;

const SafetensorsEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void SafetensorsFile::read(const SafetensorsEntry& entry, float* out) const {
  const auto elements = static_cast<std::size_t>(entry.elements);
  if (entry.dtype == "F32") {
    file_.read_at(entry.begin, out, elements * sizeof(float));
    return;
  }
  if (entry.dtype != "F16" && entry.dtype != "BF16") {
    fail(ExitCode::kBadData, "{}: tensor '{}' is {}; thinkrec reads F32, F16 and BF16", path(), printable(entry.name),
         entry.dtype);
  }
  const bool half = entry.dtype == "F16";
  std::vector<std::uint16_t> buffer(std::min<std::size_t>(elements, std::size_t{1} << 19));
  for (std::size_t done = 0; done < elements;) {
    const std::size_t part = std::min(buffer.size(), elements - done);
    file_.read_at(entry.begin + 2 * done, buffer.data(), 2 * part);
    if (half) {
      for (std::size_t i = 0; i < part; ++i) out[done + i] = half_to_float(buffer[i]);
    } else {
      for (std::size_t i = 0; i < part; ++i) out[done + i] = bfloat16_to_float(buffer[i]);
    }
    done += part;
  }
}

namespace {

std::size_t element_count(const SafetensorsTensor& tensor) {
  std::size_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= static_cast<std::size_t>(extent);
  return count;
}

/// The length and the header of a file with these tensors, which are put into name order; `bytes` becomes that of their data.
std::string encode_header(std::vector<SafetensorsTensor>& tensors, const std::map<std::string, std::string>& metadata,
                          SavedType type, std::uint64_t& bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const char* dtype = type == SavedType::kF32 ? "F32" : "BF16";
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const SafetensorsTensor& tensor = tensors[i];
    THINKREC_CHECK(tensor.name != "__metadata__" && (i == 0 || tensors[i - 1].name != tensor.name),
                   "tensor '{}' twice or reserved", tensor.name);
    std::uint64_t size = type == SavedType::kF32 ? 4 : 2;
    for (const std::int64_t extent : tensor.shape) {
      THINKREC_CHECK(extent >= 0 && !__builtin_mul_overflow(size, static_cast<std::uint64_t>(extent), &size),
                     "tensor '{}': shape [{}]", tensor.name, joined(tensor.shape, ", "));
    }
    const std::uint64_t begin = end;
    THINKREC_CHECK(!__builtin_add_overflow(begin, size, &end), "tensor '{}': the file overflows", tensor.name);
    // push_back on the underlying vector: ordered_json looks every new key up by a walk over all of them.
    header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
        {tensor.name, nlohmann::ordered_json{{"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}}});
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::kInternal, "safetensors: a tensor name or metadata is no UTF-8: {}", error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  THINKREC_CHECK(text.size() <= kMaxHeader, "a safetensors header of {} bytes", text.size());
  const std::uint64_t length = text.size();
  std::string start(kLengthBytes, '\0');
  std::memcpy(start.data(), &length, kLengthBytes);
  bytes = end;
  return start + text;
}

std::string_view bytes_of(const SafetensorsTensor& tensor) {
  const std::size_t count = element_count(tensor);
  return count == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char*>(tensor.data), count * sizeof(float));
}

}  // namespace

std::string encode_safetensors(std::vector<SafetensorsTensor> tensors, const std::map<std::string, std::string>& metadata) {
  std::uint64_t bytes = 0;
  std::string file = encode_header(tensors, metadata, SavedType::kF32, bytes);
  file.reserve(file.size() + static_cast<std::size_t>(bytes));
  for (const SafetensorsTensor& tensor : tensors) file += bytes_of(tensor);
  return file;
}

void write_safetensors(const std::string& path, std::vector<SafetensorsTensor> tensors,
                       const std::map<std::string, std::string>& metadata, SavedType type) {
  std::uint64_t bytes = 0;
  const std::string header = encode_header(tensors, metadata, type, bytes);
  AtomicFile file(path, header.size() + bytes);
  file.write(header);
  std::vector<kernels::Bfloat16> buffer;
  for (const SafetensorsTensor& tensor : tensors) {
    if (type == SavedType::kF32) {
      file.write(bytes_of(tensor));
      continue;
    }
    const std::size_t count = element_count(tensor);
    for (std::size_t done = 0; done < count; done += buffer.size()) {
      buffer.resize(std::min<std::size_t>(std::size_t{1} << 19, count - done));
      for (std::size_t i = 0; i < buffer.size(); ++i) kernels::from_float(tensor.data[done + i], buffer[i]);
      file.write({reinterpret_cast<const char*>(buffer.data()), buffer.size() * sizeof(kernels::Bfloat16)});
    }
  }
  file.commit();
}

}  // namespace thinkrec
