#include "core/run_program.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>
#include <string>

#include "core/error.h"

namespace thinkrec {

int run_program(const char* name, const std::function<int()>& body) {
  std::signal(SIGXFSZ, SIG_IGN);
  const auto complain = [&](const std::string& message) {
    std::string text;
    for (std::size_t at = 0; at <= message.size();) {
      const auto end = std::min(message.find('\n', at), message.size());
      text += fmt::format("{}: error: {}\n", name, message.substr(at, end - at));
      at = end + 1;
    }
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  };
  try {
    return body();
  } catch (const Error& error) {
    complain(error.what());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    // No formatting here: there may be no memory left for it.
    std::fputs(name, stderr);
    std::fputs(": error: out of memory: use a smaller batch, more ranks on more machines, or a machine with more memory\n",
               stderr);
  } catch (const std::exception& error) {
    complain(fmt::format("unexpected: {} (a defect of thinkrec; please report it)", error.what()));
  } catch (...) {
    complain("unexpected: an exception of unknown type (a defect of thinkrec; please report it)");
  }
  return static_cast<int>(ExitCode::kInternal);
}

int run_program(const char* name, int argc, char** argv, const std::function<int(int, char**)>& body) {
  return run_program(name, [&] { return body(argc, argv); });
}

void flush_output() {
  // A write that failed before leaves nothing for the flush to fail on.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) fail(ExitCode::kIo, "standard output cannot be written");
}

std::string program_beside(const char* name, const std::string& why) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name;
  if (::access(program.c_str(), X_OK) != 0)
    fail(ExitCode::kNoInput, "{}: {}; it must lie beside the other programs: {}", program.string(), std::strerror(errno), why);
  return program.string();
}

}  // namespace thinkrec
