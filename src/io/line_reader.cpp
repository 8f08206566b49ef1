#include <zlib.h>

#include <cstring>

#include "core/error.h"
#include "io/csv.h"
#include "io/random_access_file.h"

namespace thinkrec {
namespace {

constexpr std::size_t kMaxLine = std::size_t{64} << 20;
constexpr unsigned kBuffer = 1u << 18;

}  // namespace

struct LineReader::State {
  std::string path;
  gzFile file = nullptr;  // reads plain files as they are
  std::vector<char> buffer = std::vector<char>(kBuffer);
  std::size_t at = 0, end = 0;
  std::int64_t line = 0;

  ~State() {
    if (file != nullptr) gzclose_r(file);
  }

  /// False at the end of the file.
  bool refill() {
    const int got = gzread(file, buffer.data(), kBuffer);
    int code = Z_OK;
    const char* text = gzerror(file, &code);
    // A stream that ends too early gives its bytes first and Z_BUF_ERROR with the last of them.
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      if (code == Z_ERRNO) fail(ExitCode::kNoInput, "{}:{}: reading failed: {}", path, line + 1, std::strerror(errno));
      fail(ExitCode::kBadData, "{}:{}: the gzip stream is truncated or damaged: {}", path, line + 1, text);
    }
    at = 0;
    end = static_cast<std::size_t>(got);
    return got > 0;
  }
};

LineReader::LineReader(const std::string& path) : state_(std::make_unique<State>()) {
  { const RandomAccessFile readable(path); }  // kNoInput with errno's text; folders and pipes are refused
  state_->path = path;
  state_->file = gzopen(path.c_str(), "rb");
  if (state_->file == nullptr)
    fail(ExitCode::kNoInput, "{}: cannot be opened: {}", path, errno != 0 ? std::strerror(errno) : "out of memory");
  gzbuffer(state_->file, kBuffer);
}

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
