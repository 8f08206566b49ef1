#pragma once
// Files as a whole: bounded reads, and writes that either happened entirely or not at all.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace thinkrec {

/// The whole file. Errors: kNoInput (path, errno text) when it cannot be read, kBadData when it is longer than max_bytes.
std::string read_file(const std::string& path, std::uint64_t max_bytes = std::uint64_t{1} << 32);

/// Writes path.tmp-<pid>, fsyncs, renames over `path`, fsyncs the folder. Error kIo names path, errno text, bytes needed and free.
void write_file_atomic(const std::string& path, std::string_view bytes);

/// A file that is written piece by piece and is there as a whole or not at all, as by write_file_atomic. A device or pipe (/dev/stdout) is
/// written into.
class AtomicFile {
 public:
  /// `needed` bytes are what a failed write reports.
  AtomicFile(std::string path, std::uint64_t needed);
  ~AtomicFile();  ///< without commit() nothing is left
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view bytes);
  void commit();

 private:
  std::string path_, staging_;
  std::uint64_t needed_;
  int descriptor_ = -1;
  bool direct_ = false;  // a device or pipe (/dev/stdout): written as it is, and never replaced
};

/// Writes and fsyncs a new file; for files inside a staging folder that is renamed as a whole. Errors as write_file_atomic.
void write_file_synced(const std::string& path, std::string_view bytes);

/// An exclusive lock on a file, which is made where it is not there and stays; gone with this object or this process, however it ends.
class FileLock {
 public:
  /// Tries for so long. kIo when the file cannot be opened; on file systems without locks, held() is true and a warning says so.
  FileLock(const std::string& path, std::chrono::milliseconds wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  bool held() const { return held_; }

 private:
  int descriptor_;
  bool held_ = false;
};

/// Renames `from` over `to` and fsyncs the parent folder. Error kIo.
void rename_synced(const std::string& from, const std::string& to);

/// The same for folders: one that `to` already is becomes `from`, in one step where the file system can exchange names; elsewhere
/// `to` is moved aside as `from`-old and removed after. Error kIo.
void replace_synced(const std::string& from, const std::string& to);

/// The folder and those above it, where they are not there yet. Error kIo names path and reason.
void make_folder(const std::string& path);

/// fsyncs a folder, so that the names in it survive a crash. Error kIo.
void sync_folder(const std::string& path);

/// Lower-case hexadecimal digests.
std::string sha256_hex(std::string_view bytes);
std::string sha256_file(const std::string& path);
std::string xxh3_128_hex(std::string_view bytes);

}  // namespace thinkrec
