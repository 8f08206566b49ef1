#include <zlib.h>

#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "io/csv.h"
#include "io/random_access_file.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMaxLine = std::size_t{64} << 20;
constexpr std::size_t kBuffer = std::size_t{1} << 16;

/// The bytes of a file: a gzip file's unpacked, member after member, another's as they are.
class Unpacker {
 public:
  explicit Unpacker(const std::string& path) {
    { const RandomAccessFile readable(path); }  // kNoInput with errno's text; folders and pipes are refused
    file_ = std::fopen(path.c_str(), "rb");
    if (file_ == nullptr) fail(ExitCode::kNoInput, "{}: cannot be opened: {}", path, std::strerror(errno));
    std::setvbuf(file_, nullptr, _IONBF, 0);
    packed_.resize(kBuffer);
  }
  ~Unpacker() {
    std::fclose(file_);
    if (gzip_) inflateEnd(&stream_);
  }
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  /// Some bytes, none at the end; `place` is for messages.
  template <class Place>
  std::size_t read(std::vector<char>& out, Place place) {
    if (!begun_) begin(place);
    if (!gzip_) return take_plain(out, place);
    stream_.next_out = reinterpret_cast<unsigned char*>(out.data());
    stream_.avail_out = static_cast<unsigned>(out.size());
    while (stream_.avail_out == out.size()) {
      if (stream_.avail_in == 0 && !fill(place)) {
        if (in_member_) fail(ExitCode::kBadData, "{}: the gzip stream is truncated; fetch the file again", place());
        return 0;
      }
      if (!in_member_ && !begin_member(place)) continue;
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_MEM_ERROR) throw std::bad_alloc();
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
        fail(ExitCode::kBadData, "{}: the gzip stream is damaged ({}); fetch the file again", place(),
             stream_.msg != nullptr ? stream_.msg : "it needs a dictionary");
      }
      in_member_ = code != Z_STREAM_END;
    }
    return out.size() - stream_.avail_out;
  }

 private:
  static constexpr unsigned char kMagic[2] = {0x1f, 0x8b};

  template <class Place>
  void begin(Place place) {
    begun_ = true;
    fill(place);
    gzip_ = stream_.avail_in >= 2 && std::memcmp(packed_.data(), kMagic, 2) == 0;
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (gzip_ && inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
    in_member_ = gzip_;
  }

  /// The next member, past padding by zeros; false when more bytes are needed to tell.
  template <class Place>
  bool begin_member(Place place) {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    if (stream_.avail_in == 0) return false;
    if (*stream_.next_in != kMagic[0])
      fail(ExitCode::kBadData, "{}: the gzip stream is damaged: something else follows it; fetch the file again", place());
    inflateReset(&stream_);
    in_member_ = true;
    return true;
  }

  template <class Place>
  bool fill(Place place) {
    const std::size_t got = std::fread(packed_.data(), 1, packed_.size(), file_);
    if (got == 0 && std::ferror(file_) != 0) fail(ExitCode::kNoInput, "{}: reading failed: {}", place(), std::strerror(errno));
    stream_.next_in = packed_.data();
    stream_.avail_in = static_cast<unsigned>(got);
    return got > 0;
  }

  template <class Place>
  std::size_t take_plain(std::vector<char>& out, Place place) {
    if (stream_.avail_in == 0 && !fill(place)) return 0;
    const std::size_t n = std::min<std::size_t>(stream_.avail_in, out.size());
    std::memcpy(out.data(), stream_.next_in, n);
    stream_.next_in += n;
    stream_.avail_in -= static_cast<unsigned>(n);
    return n;
  }

  std::FILE* file_ = nullptr;
  std::vector<unsigned char> packed_;
  z_stream stream_{};
  bool begun_ = false, gzip_ = false, in_member_ = false;
};

}  // namespace

struct LineReader::State {
  explicit State(const std::string& name) : path(name), bytes(name) {}

  std::string path;
  Unpacker bytes;
  std::vector<char> buffer = std::vector<char>(kBuffer);
  std::size_t at = 0, end = 0;
  std::int64_t line = 0;

  /// False at the end of the file.
  bool refill() {
    at = 0;
    end = bytes.read(buffer, [&] { return fmt::format("{}:{}", path, line + 1); });
    return end > 0;
  }
};

LineReader::LineReader(const std::string& path) : state_(std::make_unique<State>(path)) {}

LineReader::~LineReader() = default;

bool LineReader::next(std::string& line) {
  State& state = *state_;
  line.clear();
  for (bool any = false;; any = true) {
    if (state.at == state.end && !state.refill()) {
      if (!any) return false;
      break;
    }
    const char* from = state.buffer.data() + state.at;
    const std::size_t left = state.end - state.at;
    const auto* stop = static_cast<const char*>(std::memchr(from, '\n', left));
    const std::size_t part = stop != nullptr ? static_cast<std::size_t>(stop - from) : left;
    if (line.size() + part > kMaxLine) fail(ExitCode::kBadData, "{}:{}: a line of more than 64 MiB", state.path, state.line + 1);
    line.append(from, part);
    state.at += part + (stop != nullptr ? 1 : 0);
    if (stop != nullptr) break;
  }
  if (line.ends_with('\r')) line.pop_back();
  if (state.line++ == 0 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
  return true;
}

std::int64_t LineReader::line_number() const { return state_->line; }
const std::string& LineReader::path() const { return state_->path; }

}  // namespace thinkrec
