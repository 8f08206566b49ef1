#include "train/stop.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "io/file.h"

namespace thinkrec {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kBetweenLooks(1);

volatile std::sig_atomic_t requested = 0;
std::string shared_path;                         // kept when it is shared no more: a handler may be at it
std::atomic<const char*> shared_file = nullptr;  // of shared_path, while it is shared
bool looks_there = false, told = false;
Clock::time_point looked;

/// Safe in a handler. It makes no file: where there is none, all teams have ended.
void tell_others() {
  const char* path = shared_file;
  const int file = path != nullptr ? ::open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
  if (file < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(file, "1", 1);
  ::close(file);
}

void on_signal(int signal) {
  if (signal == SIGINT && requested == SIGINT) _exit(128 + SIGINT);
  requested = signal;
  const int error = errno;
  tell_others();
  errno = error;
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
}

bool stop_requested() {
  if (looks_there && !told && Clock::now() - looked >= kBetweenLooks) {
    looked = Clock::now();
    // Opened and read: a network file system may not know its size yet.
    told = std::ifstream(shared_path).peek() != std::ifstream::traits_type::eof();
  }
  return requested != 0 || told;
}

SharedStop::SharedStop(const std::string& path, Collectives& world, bool looks) : leader_(world.rank() == 0) {
  on_rank_zero(world, [&] { write_file_atomic(path, ""); });
  shared_path = path;
  shared_file = shared_path.c_str();
  looks_there = looks;
  looked = Clock::now();
  if (requested != 0) tell_others();
}

SharedStop::~SharedStop() {
  shared_file = nullptr;
  looks_there = false;
  std::error_code ignored;  // the next life makes it anew
  if (leader_) std::filesystem::remove(shared_path, ignored);
}

}  // namespace thinkrec
