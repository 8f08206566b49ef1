// S5: files that make HDF5 crash or hang do so in the guard, and the caller gets a verdict.

#include "data/guard.h"

#include <hdf5.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>

#include "data/data_testing.h"
#include "data/walk.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "support/sanitized.h"

namespace thinkrec {
namespace {

/// As HDF5 writes by default: no checksum over its own structures, which is where it crashes and hangs.
void write_old_format(const std::string& path) {
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  std::vector<std::int32_t> values(600);
  const hid_t group = H5Gcreate2(file, "interactions", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  for (const char* name : {"user", "item", "label"}) {
    const hsize_t shape[2] = {60, 10}, chunk[2] = {20, 3};
    const hid_t space = H5Screate_simple(2, shape, nullptr), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, 2, chunk);
    H5Pset_fletcher32(properties);
    const hid_t set = H5Dcreate2(group, name, H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Dclose(set);
    H5Pclose(properties);
    H5Sclose(space);
  }
  const hid_t scalar = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, 8);
  for (const char* name : {"name", "noun", "hash"}) {
    const hid_t attribute = H5Acreate2(file, name, type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, "old file");
    H5Aclose(attribute);
  }
  H5Tclose(type);
  H5Sclose(scalar);
  H5Gclose(group);
  H5Fclose(file);
}

std::string mutant(const std::string& good, std::mt19937& random) {
  std::string bytes = good;
  const unsigned kind = random() % 10;
  if (kind < 2) {
    bytes.resize(random() % bytes.size());
  } else if (kind < 4) {
    const std::size_t page = std::size_t{64} << (random() % 5), at = random() % bytes.size() / page * page;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), std::min(page, bytes.size() - at), '\0');
  } else if (kind < 7) {
    for (unsigned i = 0, count = 1 + random() % 3; i < count; ++i) {
      const std::size_t range = random() % 2 == 0 ? std::min<std::size_t>(bytes.size(), 3000) : bytes.size();
      bytes[random() % range] ^= static_cast<char>(1U << (random() % 8));
    }
  } else {  // a number of HDF5's own, made to point elsewhere
    const std::size_t width = std::size_t{2} << (random() % 3), at = random() % (bytes.size() / width) * width;
    const std::uint64_t value = random() % 3 == 0 ? ~std::uint64_t{0} : random() % bytes.size();
    std::memcpy(bytes.data() + at, &value, width);
  }
  return bytes;
}

struct Answers {
  int code = -1;
  std::vector<std::string> lines;
};

Answers check(const std::string& arguments) {
  Answers answers;
  std::FILE* pipe = popen(fmt::format("'{}' {} 2> /dev/null", THINKREC_CHECK_PROGRAM, arguments).c_str(), "r");
  std::string text;
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof(buffer), pipe)) text.append(buffer, n);
  const int status = pclose(pipe);
  answers.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    answers.lines.push_back(text.substr(at, end - at));
  return answers;
}

TEST(Guard, SoundFilesAreFine) {
  const Folder folder;
  const std::string path = folder.path("data.h5"), old = folder.path("old.h5"), tensors = folder.path("a.safetensors");
  save_dataset(tiny_dataset(), path);
  write_old_format(old);
  const float value = 1;
  write_file_synced(tensors, encode_safetensors({{"a", {}, &value}}, {}));
  EXPECT_NO_THROW(check_in_guard(path));
  EXPECT_NO_THROW(check_in_guard(old));
  EXPECT_EQ(ask_guard(tensors).line, tensors + ": fine: safetensors, 1 tensors");
  EXPECT_EQ(ask_guard(old).line, old + ": fine: HDF5, 5 objects, 1800 values, 3 attributes");
  const Answers answers = check(fmt::format("'{}' '{}'", path, old));
  EXPECT_EQ(answers.code, 0);
  EXPECT_EQ(answers.lines.size(), 2U);
}

TEST(Guard, SaysWhatIsWrong) {
  const Folder folder;
  expect_error(ExitCode::kNoInput, {"nowhere.h5", "No such file", "; thinkrec_prepare makes a data set"},
               [&] { check_in_guard(folder.path("nowhere.h5")); });
  folder.write("text.h5", "user,item\n");
  expect_error(ExitCode::kBadData, {"text.h5", "not a whole HDF5 file"}, [&] { check_in_guard(folder.path("text.h5")); });
  expect_error(ExitCode::kNoInput, {"not a regular file"}, [&] { check_in_guard(folder.path("")); });
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  expect_error(ExitCode::kNoInput, {"not a regular file"}, [&] { check_in_guard(folder.path("pipe")); });
  folder.write("-x", "");
  EXPECT_EQ(ask_guard("--seconds").code, ExitCode::kNoInput);  // a name, not an option
  const Answers none = check("");
  EXPECT_EQ(none.code, 64);
}

/// Whatever becomes of the process that looks, the caller has a verdict.
TEST(Guard, EveryEndOfTheWalkIsAVerdict) {
  const auto line_of = [](const std::function<std::string()>& walk) {
    const GuardVerdict verdict = walk_forked("x.h5", 1, [&](const std::string&) { return walk(); });
    EXPECT_EQ(verdict.code, ExitCode::kBadData) << verdict.line;
    EXPECT_TRUE(verdict.line.starts_with("x.h5: ")) << verdict.line;
    return verdict.line;
  };
  for (const int signal : {SIGFPE, SIGSEGV, SIGABRT, SIGBUS, SIGILL}) {
    const std::string line = line_of([&] { return std::raise(signal), std::string(); });
    EXPECT_NE(line.find("reading it ends in"), line.npos) << line;
  }
  EXPECT_NE(line_of([]() -> std::string {
              for (std::atomic<int> i = 0;; ++i) {
              }
            }).find("takes more than 1 s"),
            std::string::npos);
  EXPECT_NE(line_of([] { return ::sleep(60), std::string(); }).find("takes more than 1 s"), std::string::npos);
#if !defined(THINKREC_SANITIZED)
  EXPECT_NE(line_of([] { return std::string(std::size_t{2} << 30, 'x'); }).find("1024 MiB of memory"), std::string::npos);
#endif
  EXPECT_EQ(line_of([]() -> std::string { throw std::runtime_error("odd\nlines"); }), "x.h5: odd lines");
  line_of([]() -> std::string { fail(ExitCode::kInternal, "x.h5: broken"); });
  for (const int code : {0, 1, 65}) {  // a library that ends its process
    EXPECT_NE(line_of([&]() -> std::string { ::_exit(code); }).find("without an answer"), std::string::npos);
  }
  EXPECT_LE(walk_forked("x.h5", 1, [](const std::string&) { return std::string(100'000, 'x'); }).line.size(), 4096U);
}

/// One of the mutants below, kept: an address in HDF5's own structures is all ones, and the library reads there.
TEST(Guard, AFileThatBreaksTheLibraryIsRefused) {
  const std::string path = THINKREC_SOURCE_DIR "/tests/data/fixtures/breaks_hdf5.h5";
  expect_error(ExitCode::kBadData, {path + ": reading it ends in", "get it anew"}, [&] { check_in_guard(path); });
}

/// A group that holds itself.
TEST(Guard, GroupsWithoutAnEndAreRefused) {
  const Folder folder;
  const std::string path = folder.path("loop.h5");
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t group = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Lcreate_hard(file, "/", group, "up", H5P_DEFAULT, H5P_DEFAULT);
  H5Gclose(group);
  H5Fclose(file);
  expect_error(ExitCode::kBadData, {"loop.h5", "nested deeper than 32"}, [&] { check_in_guard(path); });
}

/// The sanitizers' reports of the programs that begin while it lives, which a verdict would else pass over in silence: HDF5's own defects are
/// what the guard is for, thinkrec's are not.
class Reports {
 public:
  Reports() {
    for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
      const char* before = std::getenv(name);
      before_[name] = before == nullptr ? "" : before;
      ::setenv(name, fmt::format("{}:log_path={}", before_[name], folder_.path("report")).c_str(), 1);
    }
  }
  ~Reports() {
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  /// Those whose place is in thinkrec's code.
  std::vector<std::string> ours() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path(""))) {
      const std::string text = read_file(entry.path().string());
      if (in_our_code(text)) found.push_back(text.substr(0, 3000));
    }
    return found;
  }
  /// Whether the report is of UBSan, which sees nothing but our code, or the first frame that is not the sanitizer's own is ours.
  static bool in_our_code(const std::string& report) {
    if (report.find(": runtime error: ") != report.npos) return true;
    std::istringstream lines(report);
    for (std::string line; std::getline(lines, line);) {
      if (line.find("    #") != 0) continue;
      if (line.find(" in __interceptor") != line.npos || line.find(" in __asan") != line.npos ||
          line.find("compiler-rt") != line.npos || line.find("sanitizer_common") != line.npos ||
          line.find(" in operator ") != line.npos)
        continue;
      return line.find("/src/") != line.npos && line.find(".cpp:") != line.npos;
    }
    return false;
  }

 private:
  Folder folder_;
  std::map<std::string, std::string> before_;
};

TEST(Guard, ReportsOfOurOwnCodeAreTold) {
  const char* const kHead =
      "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1\nREAD of size 8 at 0x1 thread T0\n";
  const char* const kRuntime = "    #0 0x1 in __interceptor_memcpy (/b/thinkrec_check+0x1)\n";
  const char* const kHdf5 = "    #1 0x2 in H5B2__cache_int_deserialize (/usr/lib/x86_64-linux-gnu/libhdf5_serial.so.103+0x3)\n";
  const char* const kOurs =
      "    #2 0x4 in thinkrec::Hdf5Reader::int32s(std::string const&) const /b/src/io/hdf5_reader.cpp:80:3\n";
  EXPECT_TRUE(Reports::in_our_code(fmt::format("{}{}{}", kHead, kRuntime, kOurs)));
  EXPECT_FALSE(Reports::in_our_code(fmt::format("{}{}{}{}", kHead, kRuntime, kHdf5, kOurs)));
  EXPECT_TRUE(Reports::in_our_code("/b/src/data/walk.cpp:9:3: runtime error: signed integer overflow: 1 + 2\n"));
  EXPECT_FALSE(Reports::in_our_code(""));
}

TEST(Guard, TenThousandMutantsLeaveTheCallerStanding) {
  const Folder folder;
  const Reports reports;
  save_dataset(tiny_dataset(), folder.path("data.h5"));
  write_old_format(folder.path("old.h5"));
  const std::string good[2] = {read_file(folder.path("data.h5")), read_file(folder.path("old.h5"))};
  std::mt19937 random(11);
  const auto start = std::chrono::steady_clock::now();
  constexpr int kRounds = unless_sanitized(40, 4);
  constexpr int kFiles = 250;
  int fine = 0, refused = 0, crashed = 0, hung = 0, loaded = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::string arguments = "--seconds 1";
    for (int i = 0; i < kFiles; ++i) {
      const std::string name = fmt::format("m{}.h5", i);
      ::unlink(folder.path(name).c_str());
      // The default format, without checksums of its own, is the one that breaks the library.
      folder.write(name, mutant(good[round % 4 == 0 ? 0 : 1], random));
      arguments += fmt::format(" '{}'", folder.path(name));
    }
    const Answers answers = check(arguments);
    ASSERT_TRUE(answers.code == 0 || answers.code == 65) << answers.code;
    ASSERT_EQ(answers.lines.size(), static_cast<std::size_t>(kFiles)) << answers.lines.back();
    for (int i = 0; i < kFiles; ++i) {
      const std::string& line = answers.lines[static_cast<std::size_t>(i)];
      ASSERT_TRUE(line.starts_with(folder.path(fmt::format("m{}.h5", i)) + ":")) << line;
      const bool died = line.find("reading it ends in") != line.npos, stuck = line.find("reading it takes") != line.npos;
      ++(line.find(": fine: ") != line.npos ? fine : died ? crashed : stuck ? hung : refused);
      const std::string path = folder.path(fmt::format("m{}.h5", i));
      // The way of the programs, for some and for each that broke the library: a process that is spawned, and its verdict.
      if (died || stuck || i == 0) {
        const GuardVerdict verdict = ask_guard(path);
        EXPECT_TRUE(!(died || stuck) || verdict.code == ExitCode::kBadData) << verdict.line;
      }
      // And on: what the guard finds fine is read in this process, which may find that it is no data set.
      if (line.find(": fine: ") != line.npos) {
        try {
          load_dataset(path);
          ++loaded;
        } catch (const Error&) {
        }
      }
    }
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start).count();
  std::printf("guard: %d mutants in %ld s: %d fine, %d refused, %d crashed and %d hung in the guard; %d then read as data sets\n",
              kRounds * kFiles, static_cast<long>(seconds), fine, refused, crashed, hung, loaded);
  EXPECT_EQ(reports.ours(), std::vector<std::string>());
  EXPECT_GT(refused, kRounds * kFiles / 4);
  EXPECT_GT(fine, 0);  // a flip in what nothing reads
  EXPECT_GT(loaded, 0);
}

}  // namespace
}  // namespace thinkrec
