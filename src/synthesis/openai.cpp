#include "synthesis/openai.h"

#include <curl/curl.h>

#include <chrono>
#include <deque>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "io/bounded_json.h"
#include "text/unicode.h"

namespace thinkrec {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr std::size_t kMaxBody = std::size_t{4} << 20;
constexpr double kLongestWait = 60, kLongestRetryAfter = 600, kConnectTimeout = 15, kBetweenWords = 10;
constexpr std::string_view kPath = "/chat/completions";

Clock::duration seconds(double value) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(value));
}

struct EasyDelete {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiDelete {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyDelete>;
using Multi = std::unique_ptr<CURLM, MultiDelete>;
using Headers = std::unique_ptr<curl_slist, ListDelete>;

/// One request on its way, from its first try to its reply.
struct Transfer {
  std::size_t index = 0;
  std::string body;      // sent
  std::string response;  // received, of this try
  bool too_large = false;
  std::int64_t tries = 0;
  Clock::time_point due;
  Easy easy;
};

std::size_t take_bytes(char* bytes, std::size_t size, std::size_t count, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  const std::size_t n = size * count;
  if (transfer.response.size() + n > kMaxBody) {
    transfer.too_large = true;
    return 0;
  }
  transfer.response.append(bytes, n);
  return n;
}

/// Host of an address, in lower case and without its port.
std::string host_of(const std::string& url) {
  const std::size_t begin = url.find("://") + 3;
  std::string host = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool is_loopback(const std::string& host) { return host == "localhost" || host == "[::1]" || host.starts_with("127."); }

std::string complete_address(std::string url) {
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  if (!known || host_of(url).empty())
    fail(ExitCode::kUsage, "--endpoint {} is no http:// or https:// address, for example http://127.0.0.1:8000/v1",
         in_quotes(url));
  const std::size_t begin = url.find("://") + 3;
  if (url.substr(begin, url.find_first_of("/?#", begin) - begin).find('@') != std::string::npos)
    fail(ExitCode::kUsage, "--endpoint holds a user name or password; give the key by the variable that --key-variable names");
  while (url.ends_with('/')) url.pop_back();
  return url.ends_with(kPath) ? url : url + std::string(kPath);
}

void check_key(const OpenAiConfig& config) {
  for (const char c : config.key) {
    if (c <= ' ' || c > '~')
      fail(ExitCode::kUsage, "the key in ${} holds a space or a character that no header can hold; set it again",
           config.key_variable);
  }
}

bool is_worth_a_retry(long status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || (status >= 500 && status < 600);
}

/// libcurl's codes that no retry would change.
bool is_final(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
      return true;
    default:
      return false;
  }
}

class OpenAiBackend : public ChatBackend {
 public:
  explicit OpenAiBackend(const OpenAiConfig& config) : config_(config), url_(complete_address(config.endpoint)) {
    check_key(config);
    static const CURLcode kStarted = curl_global_init(CURL_GLOBAL_DEFAULT);
    THINKREC_CHECK(kStarted == CURLE_OK, "libcurl does not start: {}", curl_easy_strerror(kStarted));
    multi_.reset(curl_multi_init());
    THINKREC_CHECK(multi_ != nullptr, "libcurl has no memory");
    add_header("Content-Type: application/json");
    add_header("Expect:");  // no waiting for 100-continue
    if (!config.key.empty()) add_header("Authorization: Bearer " + config.key);
    if (!config.key.empty() && url_.starts_with("http://") && !is_loopback(host_of(url_)))
      log_warning("the key goes to {} without encryption; use an https:// address", host_of(url_));
  }

  std::string model() const override { return config_.model; }
  std::string settings() const override {
    return fmt::format("openai {} {}", config_.temperature, config_.temperature > 0 ? config_.seed : 0);
  }
  std::int64_t batch() const override { return 4 * config_.concurrency; }

  void ask(std::span<const ChatRequest> requests, const std::function<void(std::size_t, ChatReply)>& answered) override {
    std::deque<Transfer> waiting;
    for (std::size_t i = 0; i < requests.size(); ++i)
      waiting.push_back({i, request_body(requests[i]), {}, false, 0, Clock::now(), {}});
    // However this is left, no handle stays in the multi handle, which would use what is gone.
    struct InFlight {
      CURLM* multi;
      std::map<CURL*, Transfer> transfers{};
      ~InFlight() {
        for (auto& [easy, transfer] : transfers) curl_multi_remove_handle(multi, easy);
      }
    } flight{multi_.get()};
    while (!waiting.empty() || !flight.transfers.empty()) {
      start_due(waiting, flight.transfers);
      int running = 0, left = 0;
      check_multi(curl_multi_perform(multi_.get(), &running));
      while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        CURL* easy = message->easy_handle;
        const CURLcode code = message->data.result;  // gone when the handle is removed
        curl_multi_remove_handle(multi_.get(), easy);
        Transfer transfer = std::move(flight.transfers.extract(easy).mapped());
        ChatReply reply;
        if (finish(transfer, code, reply)) {
          answered(transfer.index, std::move(reply));
        } else {
          waiting.push_back(std::move(transfer));
        }
      }
      wait(waiting, flight.transfers.size());
    }
  }

 private:
  void add_header(const std::string& line) {
    curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
    THINKREC_CHECK(longer != nullptr, "libcurl has no memory");
    (void)headers_.release();
    headers_.reset(longer);
  }

  static void check_multi(CURLMcode code) { THINKREC_CHECK(code == CURLM_OK, "libcurl: {}", curl_multi_strerror(code)); }

  std::string request_body(const ChatRequest& request) const {
    Json body = {
        {"model", config_.model}, {"max_tokens", request.max_tokens}, {"temperature", config_.temperature}, {"stream", false}};
    if (config_.temperature > 0) body["seed"] = (config_.seed + request.sample) % 2147483647U;
    for (const ChatMessage& message : request.messages)
      body["messages"].push_back({{"role", message.role}, {"content", message.text}});
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  void start_due(std::deque<Transfer>& waiting, std::map<CURL*, Transfer>& in_flight) {
    const Clock::time_point now = Clock::now();
    if (now < held_until_) return;
    for (std::size_t looked = waiting.size(); looked > 0 && static_cast<std::int64_t>(in_flight.size()) < config_.concurrency;
         --looked) {
      Transfer transfer = std::move(waiting.front());
      waiting.pop_front();
      if (transfer.due > now) {
        waiting.push_back(std::move(transfer));
        continue;
      }
      Easy easy(curl_easy_init());
      THINKREC_CHECK(easy != nullptr, "libcurl has no memory");
      CURL* handle = easy.get();
      transfer.easy = std::move(easy);
      transfer.response.clear();
      ++transfer.tries;
      // The map's node keeps its address: libcurl is given the transfer itself.
      Transfer& stored = in_flight.emplace(handle, std::move(transfer)).first->second;
      set_up(handle, stored);
      check_multi(curl_multi_add_handle(multi_.get(), handle));
    }
  }

  void set_up(CURL* handle, Transfer& transfer) const {
    const auto set = [&](CURLoption option, auto value) {
      const CURLcode code = curl_easy_setopt(handle, option, value);
      THINKREC_CHECK(code == CURLE_OK, "libcurl refuses option {}: {}", static_cast<int>(option), curl_easy_strerror(code));
    };
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_HTTPHEADER, headers_.get());
    set(CURLOPT_USERAGENT, "thinkrec");
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body.size()));
    set(CURLOPT_POSTFIELDS, transfer.body.c_str());
    set(CURLOPT_TIMEOUT_MS, std::max(1L, static_cast<long>(config_.timeout * 1000)));
    set(CURLOPT_CONNECTTIMEOUT_MS, std::max(1L, static_cast<long>(std::min(config_.timeout, kConnectTimeout) * 1000)));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_WRITEFUNCTION, &take_bytes);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  }

  /// True when the request has its reply or failure; false when it waits for another try.
  bool finish(Transfer& transfer, CURLcode code, ChatReply& reply) {
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RETRY_AFTER, &retry_after);
    const std::string response = without_key(std::move(transfer.response));
    if (transfer.too_large) {
      reply = failed(ChatFailure::kTooLarge, fmt::format("the answer is longer than {} bytes", kMaxBody));
      return true;
    }
    if (code != CURLE_OK) {
      const std::string why = without_key(curl_easy_strerror(code));
      if (is_final(code)) fail(ExitCode::kConfig, "{}: {}", url_, why);
      return retry_or_fail(transfer, ChatFailure::kUnreachable, why, reply);
    }
    if (status == 200) {
      if (read_completion(response, reply)) return true;
      return retry_or_fail(transfer, ChatFailure::kMalformed, "the answer is no chat completion: " + in_quotes(response), reply);
    }
    refuse_for_good(status, response);
    const std::string why = fmt::format("HTTP {}: {}", status, in_quotes(response));
    if (!is_worth_a_retry(status)) {
      reply = failed(ChatFailure::kRefused, why);
      return true;
    }
    if (retry_after > 0) {
      const double hold = std::min(static_cast<double>(retry_after), kLongestRetryAfter);
      held_until_ = std::max(held_until_, Clock::now() + seconds(hold));
      log_info("{}: HTTP {}, asked to wait {} s", url_, status, hold);
    }
    return retry_or_fail(transfer, ChatFailure::kUnreachable, why, reply);
  }

  static ChatReply failed(ChatFailure failure, const std::string& detail) {
    ChatReply reply;
    reply.failure = failure;
    reply.detail = detail;
    return reply;
  }

  /// The statuses that every other request would get as well.
  void refuse_for_good(long status, const std::string& response) const {
    if (status >= 300 && status < 400)
      fail(ExitCode::kConfig, "{}: HTTP {}, a redirect, which is not followed; give --endpoint the address that it leads to",
           url_, status);
    if (status == 401 || status == 403) {
      fail(ExitCode::kConfig, "{}: HTTP {}: {}; the key is expected in the environment variable {}{}", url_, status,
           in_quotes(response), config_.key_variable, config_.key.empty() ? ", which is not set" : "");
    }
    if (status == 404 || status == 405)
      fail(ExitCode::kConfig, "{}: HTTP {}: {}; check --endpoint and --model", url_, status, in_quotes(response));
  }

  bool retry_or_fail(Transfer& transfer, ChatFailure failure, const std::string& why, ChatReply& reply) {
    if (transfer.tries > config_.retries) {
      reply = failed(failure, why);
      return true;
    }
    const double wait = std::min(kLongestWait, config_.retry_wait * std::exp2(static_cast<double>(transfer.tries - 1)));
    transfer.due = Clock::now() + seconds(wait * std::uniform_real_distribution<double>(0.5, 1)(jitter_));
    transfer.easy.reset();
    if (Clock::now() >= next_word_) {
      log_warning("{}: {}; trying again", url_, why);
      next_word_ = Clock::now() + seconds(kBetweenWords);
    }
    return false;
  }

  /// False when the text is no chat completion. Invalid UTF-8 in it becomes U+FFFD.
  static bool read_completion(const std::string& response, ChatReply& reply) {
    try {
      const Json object = parse_json_object(encode_utf8(decode_utf8(response)), "the answer");
      const Json& choices = json_member(object, "choices");
      if (!choices.is_array() || choices.empty() || !choices[0].is_object()) return false;
      const Json& message = json_member(choices[0], "message");
      if (!message.is_object()) return false;
      reply.text = json_text(message, "content", "", "the answer");
      reply.thinking = json_text(message, "reasoning_content", json_text(message, "reasoning", "", "the answer"), "the answer");
      reply.cut = json_text(choices[0], "finish_reason", "", "the answer") == "length";
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  /// Until something arrives, or a waiting request is due.
  void wait(const std::deque<Transfer>& waiting, std::size_t in_flight) {
    constexpr double kLongest = 1;
    if (waiting.empty() && in_flight == 0) return;
    Clock::time_point due = Clock::now() + seconds(kLongest);
    if (static_cast<std::int64_t>(in_flight) < config_.concurrency) {
      for (const Transfer& transfer : waiting) due = std::min(due, std::max(transfer.due, held_until_));
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(due - Clock::now()).count() + 1;
    if (left <= 0) return;
    check_multi(curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(left), nullptr));
  }

  std::string without_key(std::string text) const {
    if (config_.key.empty()) return text;
    for (std::size_t at = 0; (at = text.find(config_.key, at)) != std::string::npos;) text.replace(at, config_.key.size(), "***");
    return text;
  }

  const OpenAiConfig config_;
  const std::string url_;
  Headers headers_;
  Multi multi_;
  Clock::time_point held_until_{}, next_word_{};
  std::minstd_rand jitter_{std::random_device{}()};
};

}  // namespace

std::unique_ptr<ChatBackend> make_openai_backend(const OpenAiConfig& config) { return std::make_unique<OpenAiBackend>(config); }

}  // namespace thinkrec
