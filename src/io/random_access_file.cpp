#include "io/random_access_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace thinkrec {

RandomAccessFile::RandomAccessFile(const std::string& path) : path_(path) {
  // O_NONBLOCK keeps a named pipe from blocking here; for regular files it means nothing.
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) fail(ExitCode::kNoInput, "{}: cannot be opened: {}", path, std::strerror(errno));
  struct stat info = {};
  const int error = ::fstat(fd_, &info) == 0 ? 0 : errno;
  if (error != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    fail(ExitCode::kNoInput, "{}: {}", path, error != 0 ? std::strerror(error) : "not a regular file");
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

RandomAccessFile::~RandomAccessFile() {
  if (fd_ >= 0) ::close(fd_);
}

RandomAccessFile::RandomAccessFile(RandomAccessFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

void RandomAccessFile::read_at(std::uint64_t offset, void* out, std::size_t count) const {
  char* to = static_cast<char*>(out);
  while (count > 0) {
    const ssize_t got = ::pread(fd_, to, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ExitCode::kNoInput, "{}: reading at byte {} failed: {}", path_, offset, std::strerror(errno));
    if (got == 0) fail(ExitCode::kBadData, "{}: ends at byte {}, {} bytes too early (truncated)", path_, offset, count);
    to += got;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::size_t>(got);
  }
}

}  // namespace thinkrec
