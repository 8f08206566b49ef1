#pragma once
// HTTP in front of a RankingBackend: POST /v1/recommend and /v1/chat/completions, GET /v1/models, /health and /metrics. docs/serving.md says what a client sees.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "serve/ranking.h"

namespace thinkrec {

struct ServeConfig {
  std::string name = "thinkrec";  ///< of the model, for /v1/models
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any that is free
  std::int64_t max_batch = 16;
  std::chrono::milliseconds max_wait{5};
  std::int64_t queue = 256;  ///< requests that may wait; beyond: 503
  std::int64_t max_body = 65536;
  std::chrono::milliseconds deadline{30000};      ///< from a request read to its reply; beyond: 504
  std::chrono::milliseconds read_timeout{10000};  ///< for a client to send its whole request, and to take its reply
  std::string token{};                            ///< empty: none is asked for, which only loopback may be
  RankLimits limits{};
};

/// 127.0.0.0/8, ::1 or localhost.
bool is_loopback(const std::string& host);

/// Error kConfig without a token on an address that is not loopback.
void check_reach(const ServeConfig& config);

/// The same time whatever the place where they first differ.
bool same_secret(const std::string& given, const std::string& secret);

/// One request a connection. However slow, large or malformed what comes in is, memory (about max_body a connection), threads and time stay
/// bounded.
class RecommendServer {
 public:
  /// Listens, and answers from threads of its own, before this returns. Errors as
  /// check_reach; kIo when the address cannot be listened on or threads are lacking. `backend` must outlive it.
  RecommendServer(RankingBackend& backend, const ServeConfig& config);
  ~RecommendServer();  ///< as stop()
  int port() const;
  /// Error kIo once no connections are taken any more though stop() was not called; those taken before have been answered.
  void check_listening() const;
  /// Takes no more connections, answers those it has, and returns.
  void stop();

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace thinkrec
