#include "report/tensorboard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "core/error.h"
#include "support/testing.h"

namespace thinkrec {
namespace {

struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string file_version;
  std::vector<std::pair<std::string, float>> scalars;
};

/// A reader of protocol buffers and TFRecords, written apart from the writer.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return at_ >= bytes_.size(); }
  template <class T>
  T fixed() {
    T value;
    EXPECT_LE(at_ + sizeof(T), bytes_.size());
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = fixed<std::uint8_t>();
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }
  std::string_view bytes(std::size_t count) {
    EXPECT_LE(at_ + count, bytes_.size());
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  std::string_view sized() {
    const auto count = varint();
    return bytes(count);
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

std::pair<std::string, float> parse_scalar(std::string_view bytes) {
  Reader reader(bytes);
  std::pair<std::string, float> result;
  while (!reader.done()) {
    const auto key = reader.varint();
    if (key == (1U << 3U | 2U))
      result.first = reader.sized();
    else if (key == (2U << 3U | 5U))
      result.second = reader.fixed<float>();
    else
      ADD_FAILURE() << "field " << key;
  }
  return result;
}

Event parse_event(std::string_view bytes) {
  Event event;
  Reader reader(bytes);
  while (!reader.done()) {
    switch (reader.varint()) {
      case 1U << 3U | 1U:
        event.wall_time = reader.fixed<double>();
        break;
      case 2U << 3U | 0U:
        event.step = static_cast<std::int64_t>(reader.varint());
        break;
      case 3U << 3U | 2U:
        event.file_version = reader.sized();
        break;
      case 5U << 3U | 2U: {
        Reader summary(reader.sized());
        while (!summary.done()) {
          EXPECT_EQ(summary.varint(), 1U << 3U | 2U);
          event.scalars.push_back(parse_scalar(summary.sized()));
        }
        break;
      }
      default:
        ADD_FAILURE() << "a field that Event does not have";
    }
  }
  return event;
}

std::vector<Event> read_events(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string bytes = text.str();
  std::vector<Event> events;
  Reader reader(bytes);
  while (!reader.done()) {
    const auto head = reader.bytes(8);
    const auto length = Reader(head).fixed<std::uint64_t>();
    EXPECT_EQ(reader.fixed<std::uint32_t>(), masked_crc32c(head));
    const auto data = reader.bytes(length);
    EXPECT_EQ(reader.fixed<std::uint32_t>(), masked_crc32c(data));
    events.push_back(parse_event(data));
  }
  return events;
}

TEST(TensorBoard, ChecksumsOfRfc3720) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(TensorBoard, WritesScalarsThatReadBack) {
  const testing::TempFolder folder;
  TensorBoardWriter writer(folder.file("events"), true);
  writer.write("activate/text", 300,
               {{"loss", 0.5}, {"rows", 7}, {"ok", true}, {"note", "x"}, {"none", nullptr}, {"step", 3}, {"time", 4}});
  writer.write("empty", 1, {{"note", "x"}});
  writer.write("expert/0", 5'000'000'000, {{"auc", -0.25}});
  EXPECT_NE(writer.path().find("/events/events.out.tfevents."), std::string::npos);
  const auto events = read_events(writer.path());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_EQ(events[1].step, 300);
  EXPECT_GT(events[1].wall_time, 1.7e9);
  EXPECT_EQ(events[1].scalars,
            (std::vector<std::pair<std::string, float>>{{"activate/text/loss", 0.5F}, {"activate/text/rows", 7.0F}}));
  EXPECT_EQ(events[2].step, 5'000'000'000);
  EXPECT_EQ(events[2].scalars, (std::vector<std::pair<std::string, float>>{{"expert/0/auc", -0.25F}}));
}

TEST(TensorBoard, AResumedRunIsWrittenAgainFromTheMetrics) {
  const testing::TempFolder folder;
  { TensorBoardWriter(folder.file("events"), true).write("a", 9, {{"loss", 1}}); }
  folder.put("events/mine.txt", "kept");
  folder.put("m",
             "{\"stage\":\"a\",\"step\":1,\"time\":1800000000.5,\"loss\":0.75,\"lr\":null}\nnonsense\n{\"stage\":3,\"step\":1}\n"
             "{\"stage\":\"a\",\"step\":2,\"loss\":0.5}\n{\"stage\":\"a\",\"st");
  const TensorBoardWriter writer(folder.file("events"), true, folder.file("m"));
  const auto events = read_events(writer.path());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[1].wall_time, 1800000000.5);
  EXPECT_EQ(events[1].scalars, (std::vector<std::pair<std::string, float>>{{"a/loss", 0.75F}}));
  EXPECT_EQ(events[2].step, 2);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.file("events"))) ++files;
  EXPECT_EQ(files, 2U) << "the new event file and the file that is none of ours";
}

TEST(TensorBoard, OtherRanksDoNothing) {
  const testing::TempFolder folder;
  TensorBoardWriter writer(folder.file("events"), false);
  writer.write("a", 1, {{"loss", 1}});
  EXPECT_FALSE(std::filesystem::exists(folder.file("events")));
}

TEST(TensorBoard, FailuresNameTheFolder) {
  const testing::TempFolder folder;
  folder.put("file", "x");
  try {
    TensorBoardWriter writer(folder.file("file/events"), true);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kIo);
  }
}

}  // namespace
}  // namespace thinkrec
