#pragma once
// Scalars as a TensorBoard event file (TFRecord framing with masked CRC-32C, Event protobuf), without TensorFlow.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace thinkrec {

class TensorBoardWriter {
 public:
  /// Creates folder/events.out.tfevents.<seconds>.<host>.<pid>.<n>; the folder is made. active false: nothing happens. With a
  /// metrics_path (metrics.jsonl, after MetricsLog::resume) older event files of the folder are removed and their scalars written
  /// again from there, so that a resumed run has neither gaps nor repeats. Error kIo.
  TensorBoardWriter(const std::string& folder, bool active, const std::string& metrics_path = "");

  /// Every number of `values` (booleans, null and the rest are left out, "step" and "time" too) as "<stage>/<key>", in one event;
  /// flushed.
  void write(const std::string& stage, std::int64_t step, const nlohmann::json& values);

  const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void event(const std::string& stage, std::int64_t step, double wall_time, const nlohmann::json& values);
  void replay(const std::string& metrics_path);
  void record(std::string_view bytes);

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// CRC-32C (Castagnoli), and the masking of the TFRecord format.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace thinkrec
