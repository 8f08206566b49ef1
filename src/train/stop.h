#pragma once
// Requests to stop: SIGUSR1, SIGUSR2, SIGTERM, SIGINT ask for a checkpoint at the next step boundary; a second SIGINT quits at once.

namespace thinkrec {

void install_stop_handlers();
/// True once a signal has arrived on this rank.
bool stop_requested();

}  // namespace thinkrec
