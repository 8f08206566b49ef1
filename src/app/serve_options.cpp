// The options of thinkrec_serve.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {"thinkrec_serve",
                              "Answers POST /v1/recommend, and OpenAI's /v1/chat/completions, with items ranked by a finished run, and their reasons.",
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
      {"max-reasons", kInteger, "20", "[1, 1000]", "items", "that a request may have explained: reasons take most of the time"},
      {"max-new-tokens", kInteger, "96", "[1, 4096]", "tokens", "of a reason"},
      {"reason-precision", kChoice, "fp32", "choices fp32|int8", "",
       "of the passes that write reasons: int8 is faster and chooses other words now and then; scores are fp32 in both"},
      {"set", kTextList, "", "", "", "name=value, over the run's recipe, for settings that do not change the run", true,
       Completion::kRecipeKeys},
  };
}

}  // namespace

const Program& serve_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
