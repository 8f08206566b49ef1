#include "data/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/run_program.h"

extern char** environ;

namespace thinkrec {
namespace {

constexpr std::uint64_t kMemory = std::uint64_t{1} << 30, kSmallFile = std::uint64_t{128} << 20;
constexpr std::size_t kLongestAnswer = 4096;

/// The read end stays in this process: CLOEXEC. Closed at the end.
struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(ExitCode::kInternal, "a pipe cannot be made: {}", std::strerror(errno));
  }
  ~Pipe() {
    for (int& end : ends) close(end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }

  /// What comes, up to kLongestAnswer, until the other end is closed; line breaks become spaces.
  std::string drain() {
    close(ends[1]);
    std::string text;
    char buffer[1024];
    for (;;) {
      const ssize_t got = ::read(ends[0], buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
      text.resize(std::min(text.size(), kLongestAnswer));
    }
    while (text.ends_with('\n')) text.pop_back();
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  }
};

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return status;
}

void put(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t wrote = ::write(fd, text.data() + at, text.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    at += static_cast<std::size_t>(wrote);
  }
}

struct Limits {
  std::uint64_t memory, seconds;
};

Limits limits_for(const std::string& path, unsigned seconds) {
  struct stat info = {};
  const std::uint64_t size =
      ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0;
  const std::uint64_t times = 1 + size / kSmallFile;
  return {kMemory * times, std::min<std::uint64_t>(seconds * times, 3600)};
}

void limit(int resource, std::uint64_t value) {
  const rlimit both = {value, value};
  ::setrlimit(static_cast<__rlimit_resource>(resource), &both);
}

using Walk = std::function<std::string(const std::string&)>;

[[noreturn]] void walk_as_child(const std::string& path, const Limits& limits, const Walk& walk, int answer) {
  for (const int signal : {SIGALRM, SIGXCPU, SIGTERM, SIGFPE, SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGPIPE})
    ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, limits.seconds);
#if !defined(THINKREC_SANITIZED)  // AddressSanitizer's own tables are larger
  limit(RLIMIT_AS, limits.memory);
#endif
  ::alarm(static_cast<unsigned>(limits.seconds));
  ExitCode code = ExitCode::kOk;
  try {
    put(answer, fmt::format("{}: fine: {}", path, walk(path)));
  } catch (const Error& error) {
    code = error.code() == ExitCode::kNoInput ? ExitCode::kNoInput : ExitCode::kBadData;
    put(answer, error.what());
  } catch (const std::bad_alloc&) {
    ::raise(SIGABRT);
  } catch (const std::exception& error) {
    code = ExitCode::kBadData;
    put(answer, fmt::format("{}: {}", path, error.what()));
  }
  ::_exit(static_cast<int>(code));  // HDF5's clean-up at the exit is of no use, and may crash as well
}

}  // namespace

GuardVerdict walk_forked(const std::string& path, unsigned seconds, const Walk& walk) {
  const Limits limits = limits_for(path, seconds);
  Pipe answer;
  const pid_t child = ::fork();
  if (child < 0) fail(ExitCode::kInternal, "{}: no process to look at it: {}", path, std::strerror(errno));
  if (child == 0) walk_as_child(path, limits, walk, answer.ends[1]);
  std::string line = answer.drain();
  const int status = wait_for(child);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  for (const ExitCode known : {ExitCode::kOk, ExitCode::kNoInput, ExitCode::kBadData}) {
    if (code == static_cast<int>(known) && !line.empty()) return {known, line};
  }
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  const std::string what =
      signal == SIGALRM || signal == SIGXCPU || signal == SIGKILL
          ? fmt::format("reading it takes more than {} s", limits.seconds)
          : fmt::format("reading it ends in {} (or takes more than {} MiB of memory)",
                        signal != 0 ? ::strsignal(signal) : "an exit without an answer", limits.memory >> 20);
  return {ExitCode::kBadData,
          fmt::format("{}: {}: the file is damaged or made to do harm; get it anew, or make it again", path, what)};
}

GuardVerdict ask_guard(const std::string& path) {
  std::string name = program_beside("thinkrec_check", fmt::format("it looks at {} first", path));
  Pipe answer;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, answer.ends[1], 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::string marker = "--", file = path;
  char* arguments[] = {name.data(), marker.data(), file.data(), nullptr};
  // In a process group of its own: mpirun sends a request to stop to all of a rank's group, and the guard knows nothing of it.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t child = 0;
  const int spawned = ::posix_spawn(&child, name.c_str(), &actions, &attributes, arguments, environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) fail(ExitCode::kNoInput, "{}: cannot be run: {}", name, std::strerror(spawned));
  std::string line = answer.drain();
  const int status = wait_for(child);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 0 || code == static_cast<int>(ExitCode::kNoInput) || code == static_cast<int>(ExitCode::kBadData))
    return {static_cast<ExitCode>(code), line};
  return {ExitCode::kBadData, fmt::format("{}: {} could not look at it (status {})", path, name, status)};
}

void check_in_guard(const std::string& path) {
  const GuardVerdict verdict = ask_guard(path);
  if (verdict.code == ExitCode::kNoInput) fail(verdict.code, "{}; thinkrec_prepare makes a data set", verdict.line);
  if (verdict.code != ExitCode::kOk) throw Error(verdict.code, verdict.line);
}

}  // namespace thinkrec
