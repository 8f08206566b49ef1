#include "synthesis/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/log.h"
#include "io/bounded_json.h"
#include "io/file.h"

namespace thinkrec {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 32;

}  // namespace

Journal::Journal(std::string path) : path_(std::move(path)) {
  while (!open_locked()) {
  }
  try {
    read();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Journal::~Journal() {
  if (descriptor_ < 0) return;
  if (replies_.empty()) ::unlink(path_.c_str());
  ::close(descriptor_);
}

/// False when the file that was locked is the path's no longer: its owner removed it meanwhile.
bool Journal::open_locked() {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(ExitCode::kIo, "{}: cannot be opened: {}", path_, std::strerror(errno));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    fail(ExitCode::kIo, "{}: {}", path_,
         reason == EWOULDBLOCK ? "another thinkrec_synthesize is at work on this data set; wait until it has ended"
                               : std::strerror(reason));
  }
  struct stat locked {
  }, named{};
  if (::fstat(descriptor_, &locked) == 0 && ::stat(path_.c_str(), &named) == 0 && locked.st_ino == named.st_ino) return true;
  ::close(descriptor_);
  return false;
}

void Journal::read() {
  const std::string text = read_file(path_, kMaxBytes);
  std::int64_t line = 1;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++line) {
    const std::string place = fmt::format("{}:{}", path_, line);
    const nlohmann::json object = parse_json_object(std::string_view(text).substr(begin, end - begin), place);
    const std::string key = json_text(object, "key", "", place);
    if (key.empty()) fail(ExitCode::kBadData, "{}: no \"key\"; remove the line, and its question is asked again", place);
    ChatReply reply;
    reply.text = json_text(object, "text", "", place);
    reply.thinking = json_text(object, "thinking", "", place);
    reply.cut = json_flag(object, "cut", false, place);
    replies_.insert_or_assign(key, std::move(reply));
  }
  if (begin == text.size()) return;
  log_warning("{}:{}: the last line was cut off; its question is asked again", path_, line);
  if (::ftruncate(descriptor_, static_cast<off_t>(begin)) != 0) fail(ExitCode::kIo, "{}: {}", path_, std::strerror(errno));
}

const ChatReply* Journal::find(const std::string& key) const {
  const auto found = replies_.find(key);
  return found == replies_.end() ? nullptr : &found->second;
}

void Journal::add(const std::string& key, const ChatReply& reply) {
  const std::string line =
      nlohmann::json{{"key", key}, {"text", reply.text}, {"thinking", reply.thinking}, {"cut", reply.cut}}.dump(
          -1, ' ', false, nlohmann::json::error_handler_t::replace) +
      "\n";
  for (std::size_t written = 0; written < line.size();) {
    const ssize_t n = ::write(descriptor_, line.data() + written, line.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ExitCode::kIo, "{}: {}; {} bytes were to be written", path_, std::strerror(errno), line.size());
    written += static_cast<std::size_t>(n);
  }
  if (::fdatasync(descriptor_) != 0) fail(ExitCode::kIo, "{}: {}", path_, std::strerror(errno));
  replies_.insert_or_assign(key, reply);
}

void Journal::remove() {
  replies_.clear();
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) fail(ExitCode::kIo, "{}: {}", path_, std::strerror(errno));
}

std::string request_key(const ChatBackend& backend, const ChatRequest& request, std::int64_t turn) {
  nlohmann::json all = {{"model", backend.model()}, {"settings", backend.settings()}, {"max_tokens", request.max_tokens},
                        {"sample", request.sample}, {"openings", request.openings},   {"turn", turn}};
  for (const ChatMessage& message : request.messages) all["messages"].push_back({message.role, message.text});
  return sha256_hex(all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).substr(0, 32);
}

}  // namespace thinkrec
