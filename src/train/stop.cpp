#include "train/stop.h"

#include <csignal>
#include <unistd.h>

namespace thinkrec {
namespace {

volatile std::sig_atomic_t requested = 0;

void on_signal(int signal) {
  if (signal == SIGINT && requested == SIGINT) _exit(128 + SIGINT);
  requested = signal;
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit then is an errno, not a death
}

bool stop_requested() { return requested != 0; }

}  // namespace thinkrec
