#include "report/tensorboard.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/error.h"
#include "io/file.h"

namespace thinkrec {
namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1U) != 0 ? (value >> 1U) ^ 0x82F63B78U : value >> 1U;
    table[byte] = value;
  }
  return table;
}

constexpr auto kCrcTable = make_crc_table();

/// `bytes` of `value`, least significant first.
template <class T>
void put_fixed(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>(static_cast<unsigned char>(value | 0x80U));
  out += static_cast<char>(static_cast<unsigned char>(value));
}

// Protocol buffers: a key is (field number << 3 | wire type); types: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
void put_key(std::string& out, unsigned field, unsigned type) { put_varint(out, field << 3U | type); }

void put_bytes(std::string& out, unsigned field, std::string_view bytes) {
  put_key(out, field, 2);
  put_varint(out, bytes.size());
  out += bytes;
}

/// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
std::string event_head(double wall_time, std::int64_t step) {
  std::string out;
  put_key(out, 1, 1);
  put_fixed(out, std::bit_cast<std::uint64_t>(wall_time));
  put_key(out, 2, 0);
  put_varint(out, static_cast<std::uint64_t>(step));
  return out;
}

double seconds_since_1970() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string new_event_path(const std::string& folder) {
  static std::atomic<int> number{0};
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = 'x';
  return fmt::format("{}/events.out.tfevents.{:010}.{}.{}.{}", folder, static_cast<std::int64_t>(seconds_since_1970()),
                     host.data(), getpid(), number++);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t value = 0xFFFFFFFFU;
  for (const char c : bytes) value = kCrcTable[(value ^ static_cast<unsigned char>(c)) & 0xFFU] ^ (value >> 8U);
  return ~value;
}

std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8U; }

TensorBoardWriter::TensorBoardWriter(const std::string& folder, bool active, const std::string& metrics_path) {
  if (!active) return;
  make_folder(folder);
  if (!metrics_path.empty()) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with("events.out.tfevents.")) std::filesystem::remove(entry.path(), error);
    }
  }
  path_ = new_event_path(folder);
  file_.reset(std::fopen(path_.c_str(), "wbx"));
  if (!file_) fail(ExitCode::kIo, "{}: cannot be created: {}", path_, std::strerror(errno));
  std::string version = event_head(seconds_since_1970(), 0);
  put_bytes(version, 3, "brain.Event:2");
  record(version);
  if (!metrics_path.empty() && std::filesystem::exists(metrics_path)) replay(metrics_path);
}

void TensorBoardWriter::replay(const std::string& metrics_path) {
  const auto text = read_file(metrics_path);
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = nlohmann::json::parse(std::string_view(text).substr(at, end - at), nullptr, false);
    at = end + 1;
    if (!line.is_object() || !line.contains("stage") || !line["stage"].is_string() || !line.contains("step") ||
        !line["step"].is_number_integer()) {
      continue;
    }
    const double time = line.contains("time") && line["time"].is_number() ? line["time"].get<double>() : seconds_since_1970();
    event(line["stage"], line["step"], time, line);
  }
}

void TensorBoardWriter::write(const std::string& stage, std::int64_t step, const nlohmann::json& values) {
  if (file_) event(stage, step, seconds_since_1970(), values);
}

void TensorBoardWriter::event(const std::string& stage, std::int64_t step, double wall_time, const nlohmann::json& values) {
  std::string summary;  // Summary { repeated Value value = 1; }, Value { string tag = 1; float simple_value = 2; }
  for (const auto& [key, value] : values.items()) {
    if (!value.is_number() || key == "step" || key == "time") continue;
    std::string scalar;
    put_bytes(scalar, 1, stage + "/" + key);
    put_key(scalar, 2, 5);
    put_fixed(scalar, std::bit_cast<std::uint32_t>(static_cast<float>(value.get<double>())));
    put_bytes(summary, 1, scalar);
  }
  if (summary.empty()) return;
  std::string bytes = event_head(wall_time, step);
  put_bytes(bytes, 5, summary);
  record(bytes);
}

void TensorBoardWriter::record(std::string_view bytes) {
  std::string out;  // length, its checksum, data, its checksum
  put_fixed(out, static_cast<std::uint64_t>(bytes.size()));
  put_fixed(out, masked_crc32c(out));
  out += bytes;
  put_fixed(out, masked_crc32c(bytes));
  if (std::fwrite(out.data(), 1, out.size(), file_.get()) != out.size() || std::fflush(file_.get()) != 0) {
    fail(ExitCode::kIo, "{}: writing failed: {}", path_, std::strerror(errno));
  }
}

}  // namespace thinkrec
