#pragma once
// Every failure that a user can meet is an Error: one line that names file, place and remedy, with the exit code of the program.

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace thinkrec {

/// Exit codes of every program (sysexits.h where it has one for the case).
enum class ExitCode : int {
  kOk = 0,
  kUsage = 64,     ///< a command line that makes no sense
  kBadData = 65,   ///< an input file with something wrong in it
  kNoInput = 66,   ///< an input file that is not there or cannot be read
  kInternal = 70,  ///< a broken invariant: a defect of thinkrec
  kPeerLost = 71,  ///< another rank was lost or hangs
  kIo = 74,        ///< writing failed
  kStopped = 75,   ///< stopped on request; the same command resumes
  kDiverged = 76,  ///< NaN, Inf or a diverging loss
  kConfig = 78,    ///< a recipe or option with something wrong in it
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Throws Error(code) with the formatted message.
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error(kInternal) naming the expression and its place; behind THINKREC_CHECK.
[[noreturn]] void fail_check(const char* expression, const char* file, int line, const std::string& detail);

}  // namespace thinkrec

/// Holds an invariant in every build type. THINKREC_CHECK(rows == n, "rows {} of {}", rows, n).
#define THINKREC_CHECK(expression, ...)                                                                      \
  do {                                                                                                       \
    if (!(expression)) ::thinkrec::fail_check(#expression, __FILE__, __LINE__, fmt::format("" __VA_ARGS__)); \
  } while (false)
