#include "io/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "io_testing.h"

namespace thinkrec {
namespace {

using testing::expect_error;
using testing::FileSizeLimit;
using testing::TempFolder;

std::size_t files_in(const TempFolder& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator()));
}

TEST(File, ReadsWhatWasWritten) {
  const TempFolder folder;
  std::string bytes = "a\0b\n";
  bytes.resize(200'001, 'x');
  for (const std::string& content : {std::string(), bytes}) {
    const std::string path = folder.file("f");
    write_file_atomic(path, content);
    EXPECT_EQ(read_file(path), content);
    EXPECT_EQ(read_file(path, content.size()), content);
    write_file_synced(folder.file("g"), content);
    EXPECT_EQ(read_file(folder.file("g")), content);
  }
  EXPECT_EQ(files_in(folder), 2u) << "a staging file was left";
}

TEST(File, ADeviceOrPipeIsWrittenAndNeverReplaced) {
  const TempFolder folder;
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string read;
  std::thread reader([&] { read = read_file(pipe); });
  write_file_atomic(pipe, "a line");
  reader.join();
  EXPECT_EQ(read, "a line");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  std::filesystem::create_symlink("/dev/null", folder.file("null"));
  write_file_atomic(folder.file("null"), "gone");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("null")));
  EXPECT_EQ(files_in(folder), 2u);
}

TEST(File, ALockHasOneHolder) {
  const TempFolder folder;
  const std::string path = folder.file("lock");
  {
    const FileLock first(path, std::chrono::milliseconds(0));
    EXPECT_TRUE(first.held());
    EXPECT_FALSE(FileLock(path, std::chrono::milliseconds(60)).held());
  }
  EXPECT_TRUE(FileLock(path, std::chrono::milliseconds(0)).held());
  expect_error(ExitCode::kIo, "cannot be opened",
               [&] { const FileLock none(folder.file("no/lock"), std::chrono::milliseconds(0)); });
}

TEST(File, AFolderIsMadeWithThoseAboveIt) {
  const TempFolder folder;
  make_folder(folder.file("a/b/c"));
  make_folder(folder.file("a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(folder.file("a/b/c")));
  const std::string file = folder.put("file", "x");
  expect_error(ExitCode::kIo, "file/d: cannot make the folder", [&] { make_folder(file + "/d"); });
}

TEST(File, WrittenInPiecesIsThereAsAWholeOrNotAtAll) {
  const TempFolder folder;
  const std::string path = folder.put("f", "old");
  {
    AtomicFile file(path, 6);
    file.write("never");
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(files_in(folder), 1u) << "a staging file was left";
  AtomicFile file(path, 6);
  for (const char* piece : {"ab", "", "cd"}) file.write(piece);
  file.commit();
  EXPECT_EQ(read_file(path), "abcd");
  EXPECT_EQ(files_in(folder), 1u);
  expect_error(ExitCode::kIo, "opening for writing failed", [&] { AtomicFile(folder.file("no/f"), 6); });
}

TEST(File, ReadErrors) {
  const TempFolder folder;
  expect_error(ExitCode::kNoInput, "No such file", [&] { read_file(folder.file("none")); });
  expect_error(ExitCode::kNoInput, folder.path().string(), [&] { read_file(folder.path().string()); });
  const std::string path = folder.put("f", "12345");
  expect_error(ExitCode::kBadData, path, [&] { read_file(path, 4); });
  expect_error(ExitCode::kBadData, "/dev/zero", [&] { read_file("/dev/zero", 100'000); });  // a size that nobody knows beforehand
}

TEST(File, FullDiskIsReportedWithPathReasonAndSizes) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "/dev/full cannot be written here";
  expect_error(ExitCode::kIo, "/dev/full: writing failed: No space left on device (3 bytes needed,",
               [] { write_file_synced("/dev/full", "abc"); });
}

TEST(File, SizeLimitLeavesTheOldFile) {
  const TempFolder folder;
  const std::string path = folder.put("f", "old"), large(100'000, 'x');
  {
    const FileSizeLimit limit(4096);
    expect_error(ExitCode::kIo, "File too large (100000 bytes needed,", [&] { write_file_atomic(path, large); });
    expect_error(ExitCode::kIo, path, [&] { write_file_atomic(path, large); });
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(folder), 1u) << "a staging file was left";
}

TEST(File, ReadOnlyFolder) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write into read-only folders";
  const TempFolder folder;
  const std::string path = folder.put("f", "old");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0555), 0);
  expect_error(ExitCode::kIo, "Permission denied", [&] { write_file_atomic(path, "new"); });
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  EXPECT_EQ(read_file(path), "old");
}

TEST(File, FolderThatIsNotThere) {
  const TempFolder folder;
  expect_error(ExitCode::kIo, "No such file or directory", [&] { write_file_atomic(folder.file("no/f"), "x"); });
  expect_error(ExitCode::kIo, folder.file("no"), [&] { sync_folder(folder.file("no")); });
  expect_error(ExitCode::kIo, folder.file("no"), [&] { rename_synced(folder.file("no"), folder.file("f")); });
}

TEST(File, AFolderInTheWayOfTheRename) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.file("f"));
  expect_error(ExitCode::kIo, "Is a directory", [&] { write_file_atomic(folder.file("f"), "x"); });
  EXPECT_EQ(files_in(folder), 1u) << "a staging file was left";
}

TEST(File, RenameReplacesFilesAndMovesFolders) {
  const TempFolder folder;
  folder.put("a", "new");
  folder.put("b", "old");
  rename_synced(folder.file("a"), folder.file("b"));
  EXPECT_EQ(read_file(folder.file("b")), "new");
  std::filesystem::create_directory(folder.file("step-1.tmp"));
  sync_folder(folder.file("step-1.tmp"));
  rename_synced(folder.file("step-1.tmp"), folder.file("step-1"));
  EXPECT_TRUE(std::filesystem::is_directory(folder.file("step-1")));
}

TEST(File, ReplaceSwapsFoldersThatAreNotEmpty) {
  const TempFolder folder;
  const std::string from = folder.file("a"), to = folder.file("b");
  std::filesystem::create_directory(from);
  write_file_synced(from + "/f", "new");
  replace_synced(from, to);  // nothing there yet
  EXPECT_EQ(read_file(to + "/f"), "new");
  std::filesystem::create_directory(from);
  write_file_synced(from + "/f", "newer");
  replace_synced(from, to);
  EXPECT_EQ(read_file(to + "/f"), "newer");
  expect_error(ExitCode::kIo, "renaming it to", [&] { replace_synced(folder.file("none"), to); });
  EXPECT_EQ(read_file(to + "/f"), "newer");
}

TEST(Hash, KnownDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(xxh3_128_hex(""), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, FileAndBytesAgree) {
  const TempFolder folder;
  const std::string bytes(3'000'001, 'q');
  EXPECT_EQ(sha256_file(folder.put("f", bytes)), sha256_hex(bytes));
  expect_error(ExitCode::kNoInput, folder.file("none"), [&] { sha256_file(folder.file("none")); });
  expect_error(ExitCode::kNoInput, folder.path().string(), [&] { sha256_file(folder.path().string()); });
}

}  // namespace
}  // namespace thinkrec
