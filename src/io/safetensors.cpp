#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/float_convert.h"
#include "io/printable.h"
#include "io/safetensors_header.h"

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

std::string encode_safetensors(std::vector<SafetensorsTensor> tensors, const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const SafetensorsTensor& tensor = tensors[i];
    THINKREC_CHECK(tensor.name != "__metadata__" && (i == 0 || tensors[i - 1].name != tensor.name),
                   "tensor '{}' twice or reserved", tensor.name);
    std::uint64_t bytes = sizeof(float);
    for (const std::int64_t extent : tensor.shape) {
      THINKREC_CHECK(extent >= 0 && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes),
                     "tensor '{}': shape [{}]", tensor.name, fmt::join(tensor.shape, ", "));
    }
    const std::uint64_t begin = end;
    THINKREC_CHECK(!__builtin_add_overflow(begin, bytes, &end), "tensor '{}': the file overflows", tensor.name);
    // push_back on the underlying vector: ordered_json looks every new key up by a walk over all of them.
    header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
        {tensor.name, nlohmann::ordered_json{{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}}});
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
  std::string file(kLengthBytes, '\0');
  std::memcpy(file.data(), &length, kLengthBytes);
  file.reserve(kLengthBytes + text.size() + static_cast<std::size_t>(end));
  file += text;
  for (const SafetensorsTensor& tensor : tensors) {
    std::size_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= static_cast<std::size_t>(extent);
    if (count > 0) file.append(reinterpret_cast<const char*>(tensor.data), count * sizeof(float));
  }
  return file;
}

}  // namespace thinkrec
