// thinkrec_serve: recommendations of a finished run over HTTP.

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "app/programs.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/run_program.h"
#include "serve/server.h"
#include "train/recommender.h"
#include "train/run.h"
#include "train/stop.h"

namespace {

using namespace thinkrec;

ServeConfig serve_config(const CommandLine& line) {
  ServeConfig config;
  config.name = std::filesystem::weakly_canonical(line.required("run-dir")).filename().string();
  config.host = line.required("host");
  config.port = static_cast<int>(line.integer("port"));
  config.max_batch = line.integer("max-batch");
  config.max_wait = std::chrono::milliseconds(line.integer("max-wait-ms"));
  config.queue = line.integer("queue");
  config.max_body = line.integer("max-body");
  config.deadline = std::chrono::milliseconds(line.integer("deadline-ms"));
  config.read_timeout = std::chrono::milliseconds(line.integer("read-timeout-ms"));
  config.limits.candidates = static_cast<std::size_t>(line.integer("max-candidates"));
  config.limits.reasons = line.integer("max-reasons");
  if (line.has("token-env")) {
    const std::string name = line.required("token-env");
    const char* token = std::getenv(name.c_str());
    if (token == nullptr || *token == '\0') fail(ExitCode::kConfig, "--token-env: the environment variable {} is not set", name);
    config.token = token;
  }
  check_reach(config);  // before the run is read, which takes its time
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_serve", [&] {
    const CommandLine line = read_command_line(serve_program(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_serve", 0);
    const ServeConfig config = serve_config(line);
    install_stop_handlers();
    const auto world = make_solo_collectives();
    const Session session = open_run(line.required("run-dir"), line.list("set"), *world);
    const RunState state = load_run(session);
    Recommender recommender(
        session, state, {line.integer("pool"), line.integer("max-new-tokens"), parse_precision(line.text("reason-precision"))});
    RecommendServer server(recommender, config);
    log_info("{} is served on {}:{}", session.run_dir(), config.host, server.port());
    while (!stop_requested()) {
      server.check_listening();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    log_info("stopping: requests that have come are still answered");
    server.stop();
    return 0;
  });
}
