#include "io/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace thinkrec {
namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, mode_t mode = 0666) : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() {
    const int result = ::close(fd_);
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

std::string folder_of(const std::string& path) {
  const auto parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

[[noreturn]] void fail_write(const std::string& path, const char* what, int error, std::size_t needed) {
  struct statvfs space = {};
  const bool known = ::statvfs(folder_of(path).c_str(), &space) == 0;
  fail(ExitCode::kIo, "{}: {} failed: {} ({} bytes needed, {} free)", path, what, std::strerror(error), needed,
       known ? std::to_string(static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize) : "unknown");
}

void write_all(int descriptor, const std::string& path, std::string_view bytes, std::uint64_t needed) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_write(path, "writing", put < 0 ? errno : ENOSPC, needed);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
}

}  // namespace

std::string read_file(const std::string& path, std::uint64_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) fail(ExitCode::kNoInput, "{}: cannot be read: {}", path, std::strerror(errno));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) fail(ExitCode::kNoInput, "{}: cannot be read: {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) fail(ExitCode::kNoInput, "{}: is a folder, not a file", path);
  std::string bytes;
  if (S_ISREG(info.st_mode)) {
    if (static_cast<std::uint64_t>(info.st_size) > max_bytes) {
      fail(ExitCode::kBadData, "{}: {} bytes, more than the {} that are read of such a file", path, info.st_size, max_bytes);
    }
    bytes.reserve(static_cast<std::size_t>(info.st_size));
  }
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ExitCode::kNoInput, "{}: cannot be read: {}", path, std::strerror(errno));
    if (got == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(got) > max_bytes) {
      fail(ExitCode::kBadData, "{}: more than the {} bytes that are read of such a file", path, max_bytes);
    }
    bytes.append(buffer, static_cast<std::size_t>(got));
  }
}

AtomicFile::AtomicFile(std::string path, std::uint64_t needed)
    : path_(std::move(path)), staging_(path_ + ".tmp-" + std::to_string(::getpid())), needed_(needed) {
  struct stat info = {};
  direct_ = ::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
  if (direct_) staging_ = path_;
  descriptor_ = ::open(staging_.c_str(), direct_ ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_write(staging_, "opening for writing", errno, needed_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!staging_.empty() && !direct_) ::unlink(staging_.c_str());
}

void AtomicFile::write(std::string_view bytes) { write_all(descriptor_, staging_, bytes, needed_); }

void AtomicFile::commit() {
  if (!direct_ && ::fsync(descriptor_) != 0) fail_write(staging_, "fsync", errno, needed_);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_write(staging_, "closing", errno, needed_);
  if (!direct_) rename_synced(staging_, path_);
  staging_.clear();
}

void write_file_synced(const std::string& path, std::string_view bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.get() < 0) fail_write(path, "opening for writing", errno, bytes.size());
  write_all(file.get(), path, bytes, bytes.size());
  if (::fsync(file.get()) != 0) fail_write(path, "fsync", errno, bytes.size());
  if (file.close() != 0) fail_write(path, "closing", errno, bytes.size());
}

void write_file_atomic(const std::string& path, std::string_view bytes) {
  AtomicFile file(path, bytes.size());
  file.write(bytes);
  file.commit();
}

FileLock::FileLock(const std::string& path, std::chrono::milliseconds wait)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail(ExitCode::kIo, "{}: cannot be opened: {}", path, std::strerror(errno));
  const auto end = std::chrono::steady_clock::now() + wait;
  for (;;) {
    held_ = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    if (!held_ && errno != EWOULDBLOCK && errno != EINTR) {
      log_warning("{}: cannot be locked ({}), so a second run of the same would not be noticed", path, std::strerror(errno));
      held_ = true;
    }
    if (held_ || std::chrono::steady_clock::now() >= end) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

void rename_synced(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    fail(ExitCode::kIo, "{}: renaming it to {} failed: {}", from, to, std::strerror(error));
  }
  sync_folder(folder_of(to));
}

void replace_synced(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return sync_folder(folder_of(to));
  const int error = errno;
  if (error == ENOENT) return rename_synced(from, to);
  if (error != EINVAL && error != ENOSYS) fail(ExitCode::kIo, "{}: renaming it to {} failed: {}", from, to, std::strerror(error));
  const std::string aside = from + "-old";
  std::error_code ignored;
  fs::remove_all(aside, ignored);
  rename_synced(to, aside);
  try {
    rename_synced(from, to);
  } catch (const Error&) {
    ::rename(aside.c_str(), to.c_str());
    throw;
  }
  fs::remove_all(aside, ignored);
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail(ExitCode::kIo, "{}: cannot make the folder: {}", path, error.message());
}

void sync_folder(const std::string& path) {
  const Descriptor folder(path, O_RDONLY | O_DIRECTORY);
  // Some file systems refuse fsync on folders (EINVAL); there the rename itself is all there is.
  if (folder.get() < 0 || (::fsync(folder.get()) != 0 && errno != EINVAL)) {
    const int error = errno;
    fail(ExitCode::kIo, "{}: syncing the folder failed: {}", path, std::strerror(error));
  }
}

}  // namespace thinkrec
