#include "serve/server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "core/error.h"
#include "core/log.h"
#include "serve/batcher.h"
#include "serve/chat.h"
#include "serve/serve_metrics.h"

namespace thinkrec {
namespace {

using Clock = std::chrono::steady_clock;
using httplib::Request;
using httplib::Response;

constexpr std::size_t kMaxHeaders = 32768;  // request line and headers
constexpr std::size_t kStack = 8 << 20;     // of a thread that serves, see BoundedPool
constexpr int kClientGone = 499;            // as in nginx's logs; nobody reads it
constexpr const char* kJson = "application/json";

/// Waits until the socket is ready for `events`; false after the deadline, or when `give_up` says so.
template <class GiveUp>
bool wait_for(int socket, short events, Clock::time_point deadline, const GiveUp& give_up) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || give_up()) return false;
    pollfd entry = {socket, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::min<long>(left, 100)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

/// A connection that gives up on a client that is slow as a whole, not only between two bytes, or that sends too much.
class BoundedStream : public httplib::Stream {
 public:
  BoundedStream(int socket, std::size_t most, std::chrono::milliseconds timeout, const std::atomic<bool>& draining)
      : socket_(socket), left_(most), timeout_(timeout), read_deadline_(Clock::now() + timeout), draining_(draining) {}

  bool too_much() const { return too_much_; }
  bool too_slow() const { return too_slow_; }
  bool silent() const { return silent_; }
  /// The client has closed its side: it reads no reply.
  bool gone() const {
    pollfd entry = {socket_, POLLRDHUP, 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  bool is_readable() const override { return begin_ < end_ || wait_to_read(); }
  bool is_writable() const override { return wait_to_write(); }
  ssize_t read(char* to, std::size_t size) override {
    if (begin_ == end_) {
      too_much_ = too_much_ || left_ == 0;
      if (too_much_ || !wait_to_read()) return -1;
      const ssize_t got = ::recv(socket_, buffer_, std::min(sizeof buffer_, left_), 0);
      if (got <= 0) return got;
      silent_ = false;
      begin_ = 0;
      end_ = static_cast<std::size_t>(got);
      left_ -= end_;
    }
    const std::size_t taken = std::min(size, end_ - begin_);
    std::memcpy(to, buffer_ + begin_, taken);
    begin_ += taken;
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* from, std::size_t size) override {
    return wait_to_write() ? ::send(socket_, from, size, MSG_NOSIGNAL) : -1;
  }
  // Nobody asks for the addresses.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool wait_to_read() const {
    const bool ready = wait_for(socket_, POLLIN, read_deadline_, [&] { return silent_ && draining_; });
    too_slow_ = too_slow_ || !ready;
    return ready;
  }
  bool wait_to_write() const {
    if (!write_deadline_) write_deadline_ = Clock::now() + timeout_;
    return wait_for(socket_, POLLOUT, *write_deadline_, [] { return false; });
  }

  int socket_;
  std::size_t left_;
  std::chrono::milliseconds timeout_;
  Clock::time_point read_deadline_;
  const std::atomic<bool>& draining_;
  mutable std::optional<Clock::time_point> write_deadline_;
  char buffer_[4096];
  std::size_t begin_ = 0, end_ = 0;
  bool too_much_ = false, silent_ = true;
  mutable bool too_slow_ = false;
};

/// The connection that this thread serves, for the handlers, which do not see it; null where it is to be refused.
thread_local const BoundedStream* current_stream = nullptr;
thread_local bool refuse_connection = false;

/// A thread for each connection up to a number; those beyond are refused by the thread that accepts. The stacks are its own
/// choice: cpp-httplib matches Range by a std::regex that recurses, 3.5 MiB deep for the longest, and by default a thread has
/// what the process' limit says, or 2 MiB where there is no limit.
class BoundedPool : public httplib::TaskQueue {
 public:
  explicit BoundedPool(std::size_t threads) : most_(threads) {
    threads_.reserve(threads);
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    int error = ::pthread_attr_setstacksize(&attributes, kStack);
    while (error == 0 && threads_.size() < threads) {
      pthread_t thread = {};
      error = ::pthread_create(&thread, &attributes, &BoundedPool::run, this);
      if (error == 0) threads_.push_back(thread);
    }
    ::pthread_attr_destroy(&attributes);
    if (error == 0) return;
    end_threads();
    fail(ExitCode::kIo, "cannot start {} threads: {}; give a smaller --queue or --max-batch", threads, std::strerror(error));
  }
  ~BoundedPool() override { end_threads(); }
  BoundedPool(const BoundedPool&) = delete;
  BoundedPool& operator=(const BoundedPool&) = delete;

  void enqueue(std::function<void()> serve) override {
    if (busy_ >= most_) {
      refuse_connection = true;
      serve();
      refuse_connection = false;
      return;
    }
    ++busy_;
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(serve));
    }
    arrived_.notify_one();
  }
  /// Serves what is there, and keeps errno: after an accept() that failed nobody else says why.
  void shutdown() override {
    const int why = errno;
    end_threads();
    errno = why;
  }

 private:
  static void* run(void* pool) {
    static_cast<BoundedPool*>(pool)->work();
    return nullptr;
  }
  void work() {
    for (;;) {
      std::function<void()> serve;
      {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        serve = std::move(jobs_.front());
        jobs_.pop_front();
      }
      serve();
      --busy_;
    }
  }
  void end_threads() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    arrived_.notify_all();
    for (const pthread_t thread : threads_) ::pthread_join(thread, nullptr);
    threads_.clear();
  }

  std::atomic<std::size_t> busy_ = 0;
  std::size_t most_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> jobs_;  // under mutex_
  bool ending_ = false;                     // under mutex_
  std::vector<pthread_t> threads_;
};

/// A close that does not take the reply from a client that still sends: what it sends is read and dropped, for a while.
void close_gently(int socket) {
  ::shutdown(socket, SHUT_WR);
  const auto deadline = Clock::now() + std::chrono::milliseconds(500);
  char dropped[16384];
  for (std::size_t left = std::size_t{8} << 20; left > 0;) {
    if (!wait_for(socket, POLLIN, deadline, [] { return false; })) break;
    const ssize_t got = ::recv(socket, dropped, std::min(sizeof dropped, left), 0);
    if (got <= 0) break;
    left -= static_cast<std::size_t>(got);
  }
  ::close(socket);
}

void reply(Response& response, int code, const nlohmann::ordered_json& body) {
  response.status = code;
  response.set_content(json_line(body) + "\n", kJson);
}

constexpr const char* kRecommendPath = "/v1/recommend";
constexpr const char* kChatPath = "/v1/chat/completions";

/// In the form that the path's clients know.
void refuse(const Request& request, Response& response, int code, const std::string& error) {
  if (code == 503) response.set_header("Retry-After", "1");
  if (request.path != kChatPath) return reply(response, code, {{"error", error}});
  reply(response, code, {{"error", {{"message", error}, {"type", code < 500 ? "invalid_request_error" : "server_error"}}}});
}

std::string address_of(const ServeConfig& config, int port) {
  return config.host.find(':') == std::string::npos ? fmt::format("{}:{}", config.host, port)
                                                    : fmt::format("[{}]:{}", config.host, port);
}

}  // namespace

bool is_loopback(const std::string& host) {
  in_addr address = {};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24) == 127;
  return host == "::1" || host == "localhost";
}

void check_reach(const ServeConfig& config) {
  if (config.token.empty() && !is_loopback(config.host)) {
    fail(ExitCode::kConfig,
         "listening on {}, which others can reach, needs a token: --token-env NAME names the environment variable with it",
         config.host);
  }
}

bool same_secret(const std::string& given, const std::string& secret) {
  unsigned difference = given.size() == secret.size() && !secret.empty() ? 0 : 1;
  for (std::size_t i = 0; i < given.size() && !secret.empty(); ++i)
    difference |=
        static_cast<unsigned>(static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]));
  return difference == 0;
}

class RecommendServer::Listener : public httplib::Server {
 public:
  Listener(RankingBackend& backend, const ServeConfig& config)
      : config_(config),
        batcher_(backend, {static_cast<std::size_t>(config.max_batch), config.max_wait, static_cast<std::size_t>(config.queue)},
                 [this](std::size_t requests, double seconds) { metrics_.ranked(requests, seconds); }) {
    set_handlers();
    // Enough that a full queue is found out by the queue, with room for those being ranked and for clients that are slow.
    auto pool = std::make_unique<BoundedPool>(static_cast<std::size_t>(config.queue + 2 * config.max_batch + 16));
    bind();
    new_task_queue = [pool = pool.release()] { return pool; };
    thread_ = std::thread([this] {
      if (!listen_after_bind()) accept_error_ = errno;
    });
    while (!is_running() && accept_error_ == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  ~Listener() override { drain(); }

  void drain() {
    if (!thread_.joinable()) return;
    draining_ = true;
    stop();
    thread_.join();
    batcher_.stop();
  }

  int port() const { return port_; }

  void check_listening() const {
    if (const int error = accept_error_; error != 0) {
      fail(ExitCode::kIo, "{} takes no connections any more: {}; start the server again", address_of(config_, port_),
           std::strerror(error));
    }
  }

 private:
  void bind() {
    set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    errno = 0;
    port_ = config_.port;
    if (config_.port == 0) port_ = bind_to_any_port(config_.host);
    if (port_ < 0 || (config_.port != 0 && !bind_to_port(config_.host, config_.port))) {
      const std::string why = errno != 0 ? std::strerror(errno) : "no such address on this machine";
      fail(ExitCode::kIo, "cannot listen on {}: {}; choose another host or port", address_of(config_, config_.port), why);
    }
    ::listen(svr_sock_, 1024);  // cpp-httplib asks for 5
  }

  bool process_and_close_socket(socket_t socket) override {
    if (refuse_connection) {
      static const std::string kBusy =
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
          "Content-Length: 34\r\n\r\n{\"error\":\"too many connections\"}\r\n";
      char dropped[4096];
      while (::recv(socket, dropped, sizeof dropped, MSG_DONTWAIT) > 0) {
      }
      (void)!::send(socket, kBusy.data(), kBusy.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      ::shutdown(socket, SHUT_WR);
      ::close(socket);
      metrics_.replied(503);
      return false;
    }
    BoundedStream stream(socket, kMaxHeaders + 2 * static_cast<std::size_t>(config_.max_body), config_.read_timeout, draining_);
    current_stream = &stream;
    bool closed = false, served = false;
    try {
      // Replies are whole: cpp-httplib would copy the body for every range, as many as fit into a header.
      served = process_request(stream, true, closed, [](Request& request) { request.ranges.clear(); });
    } catch (const std::exception& error) {
      log_warning("a connection failed: {}", error.what());
    }
    current_stream = nullptr;
    close_gently(socket);
    return served;
  }

  void set_handlers() {
    set_payload_max_length(static_cast<std::size_t>(config_.max_body));
    set_pre_routing_handler([this](const Request& request, Response& response) {
      return admit(request, response) ? HandlerResponse::Unhandled : HandlerResponse::Handled;
    });
    // Just before a reply is sent, whoever made it.
    set_post_routing_handler([this](const Request& request, Response& response) {
      if (request.path != "/health" && request.path != "/metrics") metrics_.replied(response.status);
    });
    set_exception_handler([](const Request& request, Response& response, std::exception_ptr thrown) {
      try {
        std::rethrow_exception(thrown);
      } catch (const std::exception& error) {
        log_warning("a request failed: {}", error.what());
      } catch (...) {
        log_warning("a request failed");
      }
      refuse(request, response, 500, "internal error");
    });
    // What cpp-httplib finds wrong itself has no body yet.
    set_error_handler(httplib::Server::Handler([](const Request& request, Response& response) {
      if (!response.body.empty()) return;
      // Those read before one that is malformed (416), which ends the request before process_request's callback.
      const_cast<Request&>(request).ranges.clear();
      if (current_stream != nullptr && current_stream->too_much())
        response.status = 413;
      else if (current_stream != nullptr && current_stream->too_slow())
        response.status = 408;
      const bool known = response.status == 404 || response.status == 408 || response.status == 413;
      refuse(request, response, response.status,
             !known                   ? "malformed HTTP request"
             : response.status == 404 ? "no such path; there are POST /v1/recommend, POST /v1/chat/completions, GET /v1/models, /health and /metrics"
             : response.status == 408 ? "the request came too slowly"
                                      : "the request is too large");
    }));
    get("/health", [](const Request&, Response& response) { reply(response, 200, {{"status", "ok"}}); });
    get("/metrics", [this](const Request&, Response& response) {
      response.set_content(metrics_.text(batcher_.queued()), "text/plain; version=0.0.4");
    });
    get("/v1/models", [this](const Request&, Response& response) {
      const nlohmann::ordered_json served = {{"id", config_.name}, {"object", "model"}, {"owned_by", "thinkrec"}};
      reply(response, 200, {{"object", "list"}, {"data", nlohmann::ordered_json::array({served})}});
    });
    post(kRecommendPath, &Listener::recommend);
    post(kChatPath, &Listener::chat);
  }

  void get(const std::string& path, httplib::Server::Handler serve) {
    methods_[path] = "GET";
    Get(path, std::move(serve));
  }

  void post(const std::string& path, void (Listener::*serve)(const Request&, Response&, Clock::time_point)) {
    methods_[path] = "POST";
    Post(path, [this, serve](const Request& request, Response& response) {
      const auto begin = Clock::now();
      (this->*serve)(request, response, begin);
      metrics_.took(std::chrono::duration<double>(Clock::now() - begin).count());
    });
  }

  /// Before the body is read: who asks, whether the path takes it so, and whether the body may be.
  bool admit(const Request& request, Response& response) const {
    if (!config_.token.empty() && request.path != "/health") {
      static const std::string kScheme = "Bearer ";
      const std::string given = request.get_header_value("Authorization");
      if (given.compare(0, kScheme.size(), kScheme) != 0 || !same_secret(given.substr(kScheme.size()), config_.token)) {
        response.set_header("WWW-Authenticate", "Bearer");
        refuse(request, response, 401, "a bearer token is needed, or this one is wrong");
        return false;
      }
    }
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    if (const auto known = methods_.find(request.path); known != methods_.end() && known->second != method) {
      response.set_header("Allow", known->second == "GET" ? "GET, HEAD" : known->second);
      refuse(request, response, 405, fmt::format("{} takes {}", request.path, known->second));
      return false;
    }
    if (request.has_header("Content-Encoding")) {  // what it unpacks to knows no bound
      refuse(request, response, 415, "Content-Encoding is not understood: send the body as it is");
      return false;
    }
    // cpp-httplib parses forms, and has a limit of its own for them, less than max_body.
    const std::string type = request.get_header_value("Content-Type");
    if (type.starts_with("multipart/") || type.starts_with("application/x-www-form-urlencoded")) {
      refuse(request, response, 415,
             "a form is not understood: send a JSON object as the body, with the header 'Content-Type: application/json'");
      return false;
    }
    const std::string length = request.get_header_value("Content-Length");
    std::uint64_t bytes = 0;
    const auto parsed = std::from_chars(length.data(), length.data() + length.size(), bytes);
    const bool too_long = parsed.ec == std::errc::result_out_of_range || bytes > static_cast<std::uint64_t>(config_.max_body);
    if (!length.empty() && !too_long && (parsed.ec != std::errc() || parsed.ptr != length.data() + length.size())) {
      refuse(request, response, 400, "Content-Length is not a number");
      return false;
    }
    if (too_long) {
      refuse(request, response, 413, fmt::format("the body is larger than {} bytes", config_.max_body));
      return false;
    }
    if (request.method == "POST" && length.empty() && !request.has_header("Transfer-Encoding")) {
      refuse(request, response, 411, "Content-Length is missing");
      return false;
    }
    return true;
  }

  /// Why a request has no reply; code 200: it has one.
  struct Refusal {
    int code = 200;
    std::string error{};
  };

  Refusal ask(RankRequest wanted, Clock::time_point begin, RankReply& reply) {
    BatchOutcome outcome = batcher_.rank(std::move(wanted), begin + config_.deadline, [stream = current_stream] { return stream->gone(); });
    reply = std::move(outcome.reply);
    switch (outcome.kind) {
      case BatchOutcome::kReplied:
        if (reply.status == RankStatus::kOk) return {};
        return {reply.status == RankStatus::kUnknownUser ? 404 : 400, reply.error};
      case BatchOutcome::kQueueFull:
        return {503, fmt::format("the queue is full: {} requests wait", config_.queue)};
      case BatchOutcome::kStopping:
        return {503, "the server is stopping"};
      case BatchOutcome::kTooLate:
        return {504, fmt::format("no reply within {} ms", config_.deadline.count())};
      case BatchOutcome::kGone:
        return {kClientGone, "the client closed the connection"};
      case BatchOutcome::kFailed:
        log_warning("ranking failed: {}", outcome.error);
        return {500, "ranking failed; the server's log says why"};
    }
    return {500, "ranking failed"};
  }

  /// A body that came in pieces may be longer than its header said.
  Refusal too_large(const Request& request) const {
    if (request.body.size() <= static_cast<std::size_t>(config_.max_body)) return {};
    return {413, fmt::format("the body is larger than {} bytes", config_.max_body)};
  }

  void recommend(const Request& request, Response& response, Clock::time_point begin) {
    if (const Refusal refusal = too_large(request); refusal.code != 200) return refuse(request, response, refusal.code, refusal.error);
    RankRequest wanted;
    try {
      wanted = parse_rank_request(request.body, "body", config_.limits);
    } catch (const Error& error) {
      return refuse(request, response, 400, error.what());
    }
    const std::string id = wanted.id, user = wanted.user;
    const bool explain = wanted.explain;
    RankReply ranked;
    const Refusal refusal = ask(std::move(wanted), begin, ranked);
    if (refusal.code == 200) return reply(response, 200, rank_reply_json(ranked, explain));
    if (refusal.code == 503) response.set_header("Retry-After", "1");
    reply(response, refusal.code, rank_reply_json({id, user, RankStatus::kUnknownUser, refusal.error}, false));
  }

  /// The same for clients of OpenAI's API.
  void chat(const Request& request, Response& response, Clock::time_point begin) {
    if (const Refusal refusal = too_large(request); refusal.code != 200) return refuse(request, response, refusal.code, refusal.error);
    ChatRequest wanted;
    try {
      wanted = parse_chat_request(request.body, "body", config_.name, config_.limits);
    } catch (const Error& error) {
      return refuse(request, response, 400, error.what());
    }
    RankReply ranked;
    const Refusal refusal = ask(wanted.rank, begin, ranked);
    if (refusal.code != 200) return refuse(request, response, refusal.code, refusal.error);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    reply(response, 200,
          chat_completion(fmt::format("chatcmpl-{}", ++chats_), std::chrono::duration_cast<std::chrono::seconds>(now).count(), config_.name,
                          chat_content(ranked, wanted)));
  }

  ServeConfig config_;
  ServeMetrics metrics_;
  Batcher batcher_;
  std::map<std::string, std::string> methods_;  // by path
  std::atomic<bool> draining_ = false;
  std::atomic<int> accept_error_ = 0;  // errno of the accept() after which there is none any more
  std::atomic<std::uint64_t> chats_ = 0;
  int port_ = 0;
  std::thread thread_;
};

RecommendServer::RecommendServer(RankingBackend& backend, const ServeConfig& config) {
  check_reach(config);
  listener_ = std::make_unique<Listener>(backend, config);
}

RecommendServer::~RecommendServer() = default;
int RecommendServer::port() const { return listener_->port(); }
void RecommendServer::check_listening() const { listener_->check_listening(); }
void RecommendServer::stop() { listener_->drain(); }

}  // namespace thinkrec
