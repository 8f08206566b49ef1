#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include "app/environment.h"
#include "core/error.h"

namespace thinkrec {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// Ahead of an answer: its bytes. Its end would not do: what the child started may keep the pipe open.
using Length = std::uint64_t;

/// In the child: the body's value or its exception, through the pipe.
[[noreturn]] void answer(int pipe, const std::function<OrderedJson()>& body) {
  OrderedJson result;
  try {
    result["value"] = body();
  } catch (const std::exception& error) {
    result = {{"error", error.what()}};
  }
  const std::string json = result.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  const Length length = json.size();
  const std::string text = std::string(reinterpret_cast<const char*>(&length), sizeof length) + json;
  std::size_t sent = 0;
  while (sent < text.size()) {
    const auto count = ::write(pipe, text.data() + sent, text.size() - sent);
    if (count <= 0) break;
    sent += static_cast<std::size_t>(count);
  }
  std::_Exit(0);
}

bool is_whole(const std::string& text) {
  Length length = 0;
  if (text.size() < sizeof length) return false;
  std::memcpy(&length, text.data(), sizeof length);
  return text.size() - sizeof length >= length;
}

/// The last line with words in it of what the child printed.
std::string last_words(std::FILE* file) {
  std::rewind(file);
  std::string last;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, file) != nullptr) {
    std::string line = buffer;
    while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
    if (line.find_first_not_of(" -") != std::string::npos) last = line.substr(line.find_first_not_of(' '));
  }
  return last.empty() ? "" : ": " + last;
}

}  // namespace

OrderedJson in_child(double timeout_s, const std::function<OrderedJson()>& body) {
  const auto gone = [](const char* what) { return OrderedJson{{"error", fmt::format("{}: {}", what, std::strerror(errno))}}; };
  const File noise(std::tmpfile(), &std::fclose);
  int ends[2];
  if (!noise) return gone("no temporary file");
  if (::pipe(ends) != 0) return gone("no pipe");
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) {
    ::close(ends[0]);
    ::close(ends[1]);
    return gone("no process");
  }
  if (child == 0) {
    ::setpgid(0, 0);  // with what it starts itself
    ::close(ends[0]);
    ::dup2(::fileno(noise.get()), STDOUT_FILENO);
    ::dup2(::fileno(noise.get()), STDERR_FILENO);
    answer(ends[1], body);
  }
  ::close(ends[1]);
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(timeout_s);
  std::string text;
  bool late = false;
  for (char buffer[4096];;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{ends[0], POLLIN, 0};
    const int polled = left > 0 ? ::poll(&ready, 1, static_cast<int>(left)) : 0;
    if (polled < 0 && errno == EINTR) continue;
    late = polled == 0;
    const auto count = polled > 0 ? ::read(ends[0], buffer, sizeof buffer) : 0;
    if (count <= 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
    if (is_whole(text)) break;
  }
  ::close(ends[0]);
  if (late) ::kill(-child, SIGKILL);
  if (late) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (is_whole(text)) return OrderedJson::parse(text.begin() + sizeof(Length), text.end());
  const std::string words = last_words(noise.get());
  if (late) return {{"error", fmt::format("not done after {} s{}", timeout_s, words)}};
  if (WIFSIGNALED(status)) return {{"error", fmt::format("ended by signal {}{}", WTERMSIG(status), words)}};
  return {{"error", fmt::format("ended with code {}{}", WEXITSTATUS(status), words)}};
}

}  // namespace thinkrec
