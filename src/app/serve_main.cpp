// thinkrec_serve: recommendations of a finished run over HTTP.

#include <cstdlib>
#include <thread>

#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "serve/server.h"
#include "train/recommender.h"
#include "train/run.h"
#include "train/stop.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {"thinkrec_serve",
                              "Answers POST /v1/recommend with items ranked by a finished run, and their reasons.",
                              "thinkrec_serve --run-dir D [--host 127.0.0.1] [--port 8080] [--token-env NAME]"};

OptionTable options() {
  using enum OptionType;
  return {
      {"run-dir", kPath, "", "", "", "a finished run directory of thinkrec_train"},
      {"host", kText, "127.0.0.1", "", "", "address to listen on; one that others can reach needs --token-env"},
      {"port", kInteger, "8080", "[0, 65535]", "", "0: any that is free; the log says which"},
      {"token-env", kText, "", "", "", "environment variable with the bearer token that requests must carry"},
      {"max-batch", kInteger, "16", "[1, 1024]", "requests", "ranked together at most"},
      {"max-wait-ms", kInteger, "5", "[0, 10000]", "ms", "the first request of a batch waits for others"},
      {"queue", kInteger, "256", "[1, 4096]", "requests", "that may wait; those beyond get 503"},
      {"max-body", kInteger, "65536", "[64, 16777216]", "bytes", "of a request; beyond: 413"},
      {"deadline-ms", kInteger, "30000", "[1, 3600000]", "ms", "from a request to its reply; beyond: 504"},
      {"read-timeout-ms", kInteger, "10000", "[1, 600000]", "ms", "for a client to send its request, and to take its reply"},
      {"pool", kInteger, "20", "[1, 100000]", "items", "how many the encoder proposes when a request has no candidates"},
      {"max-candidates", kInteger, "1000", "[1, 100000]", "items", "of a request"},
      {"max-new-tokens", kInteger, "96", "[1, 4096]", "tokens", "of a reason"},
      {"set", kTextList, "", "", "", "name=value, over the run's recipe, for settings that do not change the run"},
  };
}

ServeConfig serve_config(const CommandLine& line) {
  ServeConfig config;
  config.host = line.required("host");
  config.port = static_cast<int>(line.integer("port"));
  config.max_batch = line.integer("max-batch");
  config.max_wait = std::chrono::milliseconds(line.integer("max-wait-ms"));
  config.queue = line.integer("queue");
  config.max_body = line.integer("max-body");
  config.deadline = std::chrono::milliseconds(line.integer("deadline-ms"));
  config.read_timeout = std::chrono::milliseconds(line.integer("read-timeout-ms"));
  config.limits.candidates = static_cast<std::size_t>(line.integer("max-candidates"));
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
    const CommandLine line(kProgram, options(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_serve", 0);
    const ServeConfig config = serve_config(line);
    install_stop_handlers();
    const auto world = make_solo_collectives();
    const Session session = open_run(line.required("run-dir"), line.list("set"), *world);
    const RunState state = load_run(session);
    Recommender recommender(session, state, {line.integer("pool"), line.integer("max-new-tokens")});
    RecommendServer server(recommender, config);
    log_info("{} is served on {}:{}", session.run_dir(), config.host, server.port());
    while (!stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    log_info("stopping: requests that have come are still answered");
    server.stop();
    return 0;
  });
}
