#pragma once
// A regular file read by position with pread, never mapped: when it shrinks meanwhile, that is an error and not a SIGBUS.

#include <cstdint>
#include <string>

namespace thinkrec {

class RandomAccessFile {
 public:
  /// kNoInput (path, errno text) when it cannot be opened or is no regular file.
  explicit RandomAccessFile(const std::string& path);
  ~RandomAccessFile();
  RandomAccessFile(RandomAccessFile&& other) noexcept;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }  ///< bytes, when it was opened
  /// Fills `out` with `count` bytes from `offset`; kBadData when the file ends before, kNoInput when reading fails.
  void read_at(std::uint64_t offset, void* out, std::size_t count) const;

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace thinkrec
