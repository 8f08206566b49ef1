#pragma once
// Any OpenAI-compatible endpoint: POST <endpoint>/chat/completions over http or https, several requests at once (libcurl).

#include <memory>
#include <string>

#include "synthesis/chat.h"

namespace thinkrec {

struct OpenAiConfig {
  std::string endpoint;  ///< "https://host/v1"; "/chat/completions" is added unless it ends so
  std::string model;
  std::string key;                              ///< sent as a bearer token, nowhere else; empty: none
  std::string key_variable = "OPENAI_API_KEY";  ///< for messages
  std::int64_t concurrency = 8;                 ///< requests in flight
  double timeout = 120;                         ///< seconds for one try, connecting and the whole reply included
  std::int64_t retries = 6;                     ///< after the first try
  double retry_wait = 1;  ///< seconds before the first retry, twice as many before each further one, at most 60
  double temperature = 0;
  std::uint64_t seed = 0;
};

/// Connection failures, timeouts, 408, 409, 425, 429, 5xx and replies that are no chat completion are tried again, after an exponential
/// back-off with jitter (half of the wait to all of it); a Retry-After, up to 10 minutes, holds all requests back. Another 4xx is the failure
/// of its request. Error kConfig, which ends everything: 401, 403, 404, 405 (key, address), a redirect (never followed), a certificate that
/// does not hold. A reply is read up to 4 MiB. The key is struck out of whatever the server says.
///
/// Error kUsage for an endpoint that is not http:// or https:// or holds a password, or a key that no header can hold; kInternal when
/// libcurl does not start.
std::unique_ptr<ChatBackend> make_openai_backend(const OpenAiConfig& config);

}  // namespace thinkrec
