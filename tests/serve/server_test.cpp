#include "serve/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <pthread.h>
#include <sys/resource.h>

#include <fstream>
#include <random>

#include "core/error.h"
#include "serve/fake_backend.h"
#include "support/sanitized.h"

namespace thinkrec {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

ServeConfig any_port() {
  ServeConfig config;
  config.port = 0;
  return config;
}

httplib::Client client_of(const RecommendServer& server) {
  httplib::Client client("127.0.0.1", server.port());
  client.set_read_timeout(20);
  return client;
}

httplib::Result post(const RecommendServer& server, const std::string& body, const httplib::Headers& headers = {}) {
  auto client = client_of(server);
  return client.Post("/v1/recommend", headers, body, "application/json");
}

int code_of(const httplib::Result& result) { return result ? result->status : -static_cast<int>(result.error()); }

httplib::Result ask(const RecommendServer& server, const std::string& method, const std::string& path,
                    const httplib::Headers& headers = {}) {
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.headers = headers;
  return client_of(server).send(request);
}

/// What a server with this configuration says of itself when it does not start.
std::string start_error(const ServeConfig& config) {
  FakeBackend backend;
  try {
    const RecommendServer server(backend, config);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

/// The socket of this process that listens on the port; -1: none does.
int listening_socket(int port) {
  for (int socket = 0; socket < 1024; ++socket) {
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    int listens = 0;
    socklen_t listens_size = sizeof listens;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0 && address.sin_family == AF_INET &&
        ntohs(address.sin_port) == port && ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) == 0 &&
        listens != 0)
      return socket;
  }
  return -1;
}

/// While it lives, threads for which nobody asks otherwise have a stack of 2 MiB, as where `ulimit -s` says unlimited.
class SmallStacks {
 public:
  SmallStacks() {
    EXPECT_EQ(::pthread_getattr_default_np(&before_), 0);
    pthread_attr_t small;
    ::pthread_attr_init(&small);
    EXPECT_EQ(::pthread_attr_setstacksize(&small, 2 << 20), 0);
    EXPECT_EQ(::pthread_setattr_default_np(&small), 0);
    ::pthread_attr_destroy(&small);
  }
  ~SmallStacks() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }

 private:
  pthread_attr_t before_;
};

/// A connection for bytes that no client library sends.
class Raw {
 public:
  explicit Raw(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval timeout = {10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  }
  ~Raw() { ::close(socket_); }
  void send(const std::string& bytes) { (void)!::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void finish() { ::shutdown(socket_, SHUT_WR); }
  std::string receive() {
    std::string all;
    char some[4096];
    for (ssize_t got; (got = ::recv(socket_, some, sizeof some, 0)) > 0;) all.append(some, static_cast<std::size_t>(got));
    return all;
  }

 private:
  int socket_;
};

TEST(Server, Answers) {
  FakeBackend backend;
  const RecommendServer server(backend, any_port());
  const auto done = post(server, R"({"id":"x","user":"u1","top":2,"explain":true})");
  ASSERT_EQ(code_of(done), 200);
  EXPECT_EQ(done->get_header_value("Content-Type"), "application/json");
  const Json reply = Json::parse(done->body);
  EXPECT_EQ(reply["id"], "x");
  EXPECT_EQ(reply["user"], "u1");
  EXPECT_EQ(reply["items"].size(), 2u);
  EXPECT_EQ(reply["items"][1]["id"], "u1/1");
  EXPECT_EQ(reply["items"][0]["reason"], "because");
  EXPECT_EQ(reply["gate"]["weights"], Json({0.25, 0.75}));
  auto client = client_of(server);
  EXPECT_EQ(client.Get("/health")->body, "{\"status\":\"ok\"}\n");
  const std::string metrics = client.Get("/metrics")->body;
  for (const char* line :
       {"thinkrec_requests_total{code=\"200\"} 1\n", "thinkrec_queue_length 0\n", "thinkrec_batch_size_count 1\n",
        "thinkrec_request_seconds_bucket{le=\"+Inf\"} 1\n", "thinkrec_batch_size_bucket{le=\"1\"} 1\n"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line << metrics;
  }
}

TEST(Server, SpeaksAsOpenAi) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.name = "mine";
  config.token = "secret";
  const RecommendServer server(backend, config);
  auto client = client_of(server);
  const httplib::Headers token = {{"Authorization", "Bearer secret"}};
  EXPECT_EQ(Json::parse(client.Get("/v1/models", token)->body)["data"][0]["id"], "mine");
  const auto chat = [&](const std::string& body) { return client.Post("/v1/chat/completions", token, body, "application/json"); };
  const auto done = chat(R"({"model":"mine","user":"u1","messages":[{"role":"system","content":"x"},{"role":"user","content":"What now?"}]})");
  ASSERT_EQ(code_of(done), 200);
  const Json reply = Json::parse(done->body);
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["model"], "mine");
  EXPECT_GT(reply["created"].get<std::int64_t>(), 1700000000);
  const std::string content = reply["choices"][0]["message"]["content"];
  EXPECT_EQ(content.substr(0, 50), "1. Film (50 %): because\n2. Film (50 %): because\n3.");
  EXPECT_NE(Json::parse(chat(R"({"messages":[{"role":"user","content":"u2"}]})")->body)["id"], reply["id"]);
  const auto expect = [&](const std::string& body, int code, const std::string& words) {
    const auto answer = chat(body);
    ASSERT_EQ(code_of(answer), code) << body;
    EXPECT_NE(Json::parse(answer->body)["error"]["message"].get<std::string>().find(words), std::string::npos) << answer->body;
  };
  expect(R"({"messages":[{"role":"user","content":"nobody"}]})", 404, "'nobody'");
  expect(R"({"messages":[{"role":"user","content":"throw"}]})", 500, "ranking failed");
  expect(R"({"messages":[]})", 400, "'messages'");
  EXPECT_EQ(code_of(client.Post("/v1/chat/completions", "{}", "application/json")), 401);
  EXPECT_EQ(code_of(client.Get("/v1/chat/completions", token)), 405);
}

TEST(Server, SaysWhatIsWrong) {
  FakeBackend backend;
  const RecommendServer server(backend, any_port());
  const auto expect = [](const httplib::Result& done, int code, const std::string& words) {
    ASSERT_EQ(code_of(done), code) << words;
    EXPECT_NE(Json::parse(done->body)["error"].get<std::string>().find(words), std::string::npos) << done->body;
  };
  expect(post(server, R"({"user":"nobody"})"), 404, "'nobody'");
  expect(post(server, R"({"user":"u","top":"many"})"), 400, "'top'");
  expect(post(server, R"({"user":)" + std::string(20000, '[')), 400, "nested deeper");
  expect(post(server, R"({"user":"u")"), 400, "not valid JSON");
  expect(post(server, R"({"user":"throw"})"), 500, "ranking failed");
  expect(post(server, R"({"user":"swapped"})"), 500, "ranking failed");
  expect(post(server, "{}", {{"Content-Encoding", "gzip"}}), 415, "Content-Encoding");
  expect(post(server, std::string(70000, ' ')), 413, "65536");
  expect(post(server, std::string(6 << 20, ' ')), 413, "65536");
  auto client = client_of(server);
  expect(client.Get("/v2"), 404, "no such path");
  expect(client.Get("/v1/recommend"), 405, "POST");
  EXPECT_EQ(code_of(post(server, R"({"user":"u"})")), 200);
  // By the other door in the form of its clients, also what is found before the body is read.
  const auto chat = [&](const httplib::Headers& headers, const std::string& body) {
    return client_of(server).Post("/v1/chat/completions", headers, body, "application/json");
  };
  const auto expect_chat = [](const httplib::Result& done, int code) {
    ASSERT_EQ(code_of(done), code);
    EXPECT_EQ(Json::parse(done->body)["error"]["type"], "invalid_request_error") << done->body;
  };
  expect_chat(chat({{"Content-Encoding", "gzip"}}, "{}"), 415);
  expect_chat(chat({}, std::string(70000, ' ')), 413);
  expect_chat(chat({}, "{"), 400);
  expect_chat(client_of(server).Get("/v1/chat/completions"), 405);
  Raw malformed(server.port());
  malformed.send("nonsense\r\n\r\n");
  EXPECT_EQ(malformed.receive().substr(0, 12), "HTTP/1.1 400");
  // All of them are counted.
  const std::string metrics = client_of(server).Get("/metrics")->body;
  for (const auto& [code, count] : {std::pair(200, 1), std::pair(400, 5), std::pair(404, 2), std::pair(405, 2), std::pair(413, 3), std::pair(415, 2),
                                    std::pair(500, 2)}) {
    EXPECT_NE(metrics.find(fmt::format("thinkrec_requests_total{{code=\"{}\"}} {}\n", code, count)), std::string::npos) << code << metrics;
  }
}

TEST(Server, EachPathSaysHowToAsk) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.token = "secret";
  const RecommendServer server(backend, config);
  const httplib::Headers token = {{"Authorization", "Bearer secret"}};
  const auto expect = [&](const std::vector<const char*>& methods, const std::string& path, const std::string& takes,
                          const std::string& allowed) {
    for (const char* method : methods) {
      const auto done = ask(server, method, path, token);
      ASSERT_EQ(code_of(done), 405) << method << " " << path;
      EXPECT_EQ(done->get_header_value("Allow"), allowed) << method << " " << path;
      const bool said = done->body.find(path + " takes " + takes + '"') != std::string::npos;
      EXPECT_EQ(said, method != std::string("HEAD")) << method << " " << done->body;
    }
  };
  for (const char* path : {"/v1/recommend", "/v1/chat/completions"})
    expect({"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"}, path, "POST", "POST");
  for (const char* path : {"/v1/models", "/health", "/metrics"}) {
    expect({"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}, path, "GET", "GET, HEAD");
    EXPECT_EQ(code_of(ask(server, "HEAD", path, token)), 200) << path;
  }
  EXPECT_EQ(code_of(ask(server, "PUT", "/v1/recommend")), 401);
  EXPECT_EQ(code_of(ask(server, "PUT", "/v2", token)), 404);
}

TEST(Server, FormsAreRefusedWhateverTheirSize) {
  FakeBackend backend;
  const RecommendServer server(backend, any_port());
  for (const char* type : {"application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8",
                           "multipart/form-data; boundary=x"}) {
    for (const std::size_t more : {0, 20000}) {  // cpp-httplib's own limit is at 8192
      const auto done = client_of(server).Post("/v1/recommend", R"({"user":"u"})" + std::string(more, ' '), type);
      ASSERT_EQ(code_of(done), 415) << type << more;
      EXPECT_NE(done->body.find("the header 'Content-Type: application/json'"), std::string::npos) << done->body;
    }
  }
  EXPECT_EQ(code_of(post(server, R"({"user":"u"})" + std::string(20000, ' '))), 200);
  EXPECT_EQ(backend.calls(), 1u);
}

TEST(Server, RangesChangeNothing) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.token = "secret";
  const RecommendServer server(backend, config);
  std::string many = "bytes=0-";
  while (many.size() < 8000) many += ",0-";
  const auto expect = [&](int code, const std::function<httplib::Result(const httplib::Headers&)>& send) {
    const auto plain = send({});
    ASSERT_EQ(code_of(plain), code);
    for (const std::string& range : {std::string("bytes=0-1"), std::string("bytes=-3"), std::string("bytes=100000-"), many}) {
      const auto ranged = send({{"Range", range}});
      const std::string which = range.substr(0, 20);
      ASSERT_EQ(code_of(ranged), code) << which;
      EXPECT_TRUE(ranged->body == plain->body) << which << " " << ranged->body.size();
      EXPECT_EQ(ranged->get_header_value("Content-Type"), "application/json") << which;
      EXPECT_FALSE(ranged->has_header("Content-Range")) << which;
    }
  };
  const auto with_token = [](httplib::Headers headers) {
    headers.emplace("Authorization", "Bearer secret");
    return headers;
  };
  const auto recommend = [&](const std::string& user) {
    const std::string body = Json{{"user", user}}.dump();
    return [&, body](const httplib::Headers& headers) { return post(server, body, with_token(headers)); };
  };
  expect(200, recommend("u"));
  expect(404, recommend("nobody"));
  expect(500, recommend("throw"));
  expect(200, [&](const httplib::Headers& headers) { return ask(server, "GET", "/health", headers); });
  expect(401, [&](const httplib::Headers& headers) { return ask(server, "GET", "/v1/models", headers); });
  expect(404, [&](const httplib::Headers& headers) { return ask(server, "GET", "/v2", with_token(headers)); });
  expect(405, [&](const httplib::Headers& headers) { return ask(server, "GET", "/v1/recommend", with_token(headers)); });
  EXPECT_EQ(code_of(ask(server, "GET", "/metrics", with_token({{"Range", "bytes=0-1"}}))), 200);
  // A range that ends before it begins is refused by cpp-httplib, with those before it read already.
  const auto malformed = ask(server, "GET", "/health", {{"Range", many + ",2-1"}});
  ASSERT_EQ(code_of(malformed), 416);
  EXPECT_TRUE(malformed->body == "{\"error\":\"malformed HTTP request\"}\n") << malformed->body.size();
}

TEST(Server, TheLongestRangeFitsTheStack) {
  const SmallStacks small;
  FakeBackend backend;
  const RecommendServer server(backend, any_port());
  std::string range = "Range: bytes=-";
  while (range.size() + 4 <= 8192) range += ",-";
  Raw client(server.port());
  client.send("GET /health HTTP/1.1\r\nHost: x\r\n" + range + "\r\n\r\n");
  EXPECT_EQ(client.receive().substr(0, 12), "HTTP/1.1 200");
}

TEST(Server, ChunkedBodiesAreBoundedToo) {
  FakeBackend backend;
  const RecommendServer server(backend, any_port());
  const std::string head = "POST /v1/recommend HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  Raw small(server.port());
  small.send(head + "c\r\n{\"user\":\"u\"}\r\n0\r\n\r\n");
  EXPECT_EQ(small.receive().substr(0, 12), "HTTP/1.1 200");
  Raw large(server.port());
  large.send(head);
  for (int i = 0; i < 100; ++i) large.send("1000\r\n" + std::string(4096, ' ') + "\r\n");
  large.finish();
  EXPECT_EQ(large.receive().substr(0, 12), "HTTP/1.1 413");
  Raw without(server.port());
  without.send("POST /v1/recommend HTTP/1.1\r\nHost: x\r\n\r\n{}");
  EXPECT_EQ(without.receive().substr(0, 12), "HTTP/1.1 411");
}

TEST(Server, NoReplyIsLostOrMixedUp) {
  FakeBackend backend;
  backend.delay_ms = 1;
  const RecommendServer server(backend, any_port());
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int c = 0; c < 32; ++c) {
    threads.emplace_back([&, c] {
      for (int r = 0; r < 40; ++r) {
        const std::string user = fmt::format("u{}-{}", c, r), id = fmt::format("id{}", c * 1000 + r);
        const bool bad = r % 8 == 7, thrown = r % 8 == 5;
        if (r % 8 == 3) {  // by the other door
          auto client = client_of(server);
          const auto done = client.Post("/v1/chat/completions",
                                        Json{{"user", user}, {"messages", {{{"role", "user"}, {"content", "{\"top\":2}"}}}}}.dump(),
                                        "application/json");
          if (code_of(done) != 200) continue;
          const std::string content = Json::parse(done->body)["choices"][0]["message"]["content"];
          right += Json::parse(content)["user"] == user && Json::parse(content)["items"][1]["id"] == user + "/1";
          continue;
        }
        const auto done = post(server, Json{{"user", bad      ? "nobody"
                                                     : thrown ? "throw"
                                                              : user},
                                            {"id", id},
                                            {"top", 1 + r % 4}}
                                           .dump());
        if (code_of(done) != (bad ? 404 : thrown ? 500 : 200)) continue;
        const Json reply = Json::parse(done->body);
        if (reply["id"] != id) continue;
        right += bad || thrown ||
                 (reply["user"] == user && reply["items"].size() == static_cast<std::size_t>(1 + r % 4) &&
                  reply["items"][0]["id"] == user + "/0");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 32 * 40);
  EXPECT_GT(backend.largest(), 1u);
}

TEST(Server, FullQueueAndDeadline) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.max_batch = 1;
  config.queue = 2;
  config.deadline = 700ms;
  const RecommendServer server(backend, config);
  std::atomic<int> full = 0, late = 0, served = 0, other = 0;
  std::vector<std::thread> threads;
  for (int c = 0; c < 12; ++c) {
    threads.emplace_back([&] {
      const auto done = post(server, R"({"user":"slow-500"})");
      const int code = code_of(done);
      ++(code == 200 ? served : code == 504 ? late : code == 503 && done->get_header_value("Retry-After") == "1" ? full : other);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(served, 1);
  EXPECT_GE(late, 1);
  EXPECT_GE(full, 6);
  EXPECT_EQ(other, 0);
}

TEST(Server, AClientThatLeavesIsNotServed) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.max_batch = 1;
  const RecommendServer server(backend, config);
  std::thread busy([&] { EXPECT_EQ(code_of(post(server, R"({"user":"slow-1000"})")), 200); });
  while (backend.calls() == 0) std::this_thread::sleep_for(1ms);
  auto client = client_of(server);
  const auto says = [&](const std::string& line) { return client.Get("/metrics")->body.find(line) != std::string::npos; };
  {
    Raw leaves(server.port());
    leaves.send("POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"user\":\"u\"}");
    while (!says("thinkrec_queue_length 1\n")) std::this_thread::sleep_for(1ms);
  }
  busy.join();
  EXPECT_TRUE(says("thinkrec_requests_total{code=\"499\"} 1\n"));
  EXPECT_EQ(code_of(post(server, R"({"user":"u"})")), 200);
  EXPECT_EQ(backend.calls(), 2u);
}

TEST(Server, MoreConnectionsThanThreadsAreRefused) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.max_batch = 1;
  config.queue = 1;  // 19 threads
  config.read_timeout = 2s;
  const RecommendServer server(backend, config);
  std::vector<std::unique_ptr<Raw>> idle;
  for (int i = 0; i < 19; ++i) idle.push_back(std::make_unique<Raw>(server.port()));
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(code_of(client_of(server).Get("/health")), 503);
  std::this_thread::sleep_for(2500ms);  // the idle ones have been told to go
  EXPECT_EQ(code_of(client_of(server).Get("/health")), 200);
}

TEST(Server, ASlowClientHoldsUpNobody) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.read_timeout = 600ms;
  const RecommendServer server(backend, config);
  Raw slow(server.port());
  std::atomic<bool> stop = false;
  std::thread drip([&] {  // never a long pause, never an end
    for (slow.send("POST /v1/recommend HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"); !stop; std::this_thread::sleep_for(50ms))
      slow.send("{");
  });
  for (int i = 0; i < 5; ++i) EXPECT_EQ(code_of(post(server, R"({"user":"u"})")), 200);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(slow.receive().substr(0, 12), "HTTP/1.1 408");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  stop = true;
  drip.join();
}

TEST(Server, AsksForTheToken) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.token = "correct horse";
  const RecommendServer server(backend, config);
  const std::string body = R"({"user":"u"})";
  EXPECT_EQ(code_of(post(server, body)), 401);
  for (const char* wrong :
       {"Bearer correct hors", "Bearer correct horsf", "Bearer ", "correct horse", "Bearer correct horsecorrect horse"})
    EXPECT_EQ(code_of(post(server, body, {{"Authorization", wrong}})), 401) << wrong;
  EXPECT_EQ(code_of(post(server, body, {{"Authorization", "Bearer correct horse"}})), 200);
  EXPECT_EQ(code_of(client_of(server).Get("/metrics")), 401);
  EXPECT_EQ(code_of(client_of(server).Get("/health")), 200);
  EXPECT_FALSE(same_secret("", ""));
}

TEST(Server, RefusesToListen) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.host = "0.0.0.0";
  EXPECT_NE(start_error(config).find("--token-env"), std::string::npos);
  config.token = "x";
  EXPECT_EQ(start_error(config), "none");
  config.host = "127.0.0.1";
  const RecommendServer first(backend, config);
  config.port = first.port();
  EXPECT_NE(start_error(config).find("cannot listen on 127.0.0.1:"), std::string::npos) << start_error(config);
  for (const char* host : {"127.0.0.1", "127.9.9.9", "::1", "localhost"}) EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.org", ""}) EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Server, SaysThatThreadsAreLacking) {
  if (unless_sanitized(false, true)) GTEST_SKIP() << "a sanitizer dies of the limit itself";
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  const rlimit tight = {pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + (64 << 20), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &tight), 0);
  const std::string error = start_error(any_port());
  ::setrlimit(RLIMIT_AS, &before);
  EXPECT_EQ(error, "cannot start 304 threads: Resource temporarily unavailable; give a smaller --queue or --max-batch");
  EXPECT_EQ(start_error(any_port()), "none");
}

TEST(Server, SaysThatNobodyListensAnyMore) {
  FakeBackend backend;
  RecommendServer server(backend, any_port());
  server.check_listening();
  std::thread busy([&] { EXPECT_EQ(code_of(post(server, R"({"user":"slow-500"})")), 200); });
  while (backend.calls() == 0) std::this_thread::sleep_for(1ms);
  const int socket = listening_socket(server.port());
  ASSERT_EQ(::shutdown(socket, SHUT_RDWR), 0) << socket;  // accept() fails
  std::string said;
  for (int i = 0; i < 500 && said.empty(); ++i) {
    std::this_thread::sleep_for(10ms);
    try {
      server.check_listening();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kIo);
      said = error.what();
    }
  }
  EXPECT_EQ(said,
            fmt::format("127.0.0.1:{} takes no connections any more: Invalid argument; start the server again", server.port()));
  busy.join();
  server.stop();
}

TEST(Server, StopsWithRequestsInFlight) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.max_batch = 2;
  RecommendServer server(backend, config);
  std::atomic<int> served = 0;
  std::vector<std::thread> threads;
  for (int c = 0; c < 8; ++c) threads.emplace_back([&] { served += code_of(post(server, R"({"user":"slow-150"})")) == 200; });
  const Raw idle(server.port());  // a connection that says nothing does not hold up the stop
  std::this_thread::sleep_for(100ms);
  const auto begin = std::chrono::steady_clock::now();
  server.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 8);
  EXPECT_LT(code_of(post(server, R"({"user":"u"})")), 0);  // nobody listens
  server.check_listening();                                // as was asked for
  server.stop();
}

TEST(Server, SurvivesWhateverComes) {
  FakeBackend backend;
  ServeConfig config = any_port();
  config.read_timeout = 300ms;
  const RecommendServer server(backend, config);
  const std::string good =
      "POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"user\":\"u\"}";
  const std::string question = R"({"user":"u","messages":[{"role":"user","content":"What?"}]})";
  const std::string chat = fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", question.size(),
      question);
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
      const auto bytes = [&](std::size_t n) {
        std::string out(n, '\0');
        for (char& c : out) c = static_cast<char>(below(256));
        return out;
      };
      for (int i = 0; i < 750; ++i) {
        std::string sent = i % 3 == 0 ? chat : good;
        switch (below(7)) {
          case 0:
            sent = bytes(below(600));
            break;
          case 1:
            sent.resize(below(sent.size()));
            break;
          case 2:
            for (std::size_t n = 1 + below(8); n > 0; --n) sent[below(sent.size())] = static_cast<char>(below(256));
            break;
          case 3:
            sent.insert(sent.find("Host"), "X-Long: " + std::string(below(100000), 'a') + "\r\n");
            break;
          case 4:
            for (std::size_t n = below(2000); n > 0; --n) sent.insert(sent.find("Host"), fmt::format("X-{}: {}\r\n", n, n));
            break;
          case 5: {
            std::string ranges = "Range: bytes=0-1";
            for (std::size_t n = below(1900); n > 0; --n) ranges += ",0-1";
            sent.insert(sent.find("Host"), ranges + "\r\n");
            break;
          }
          default:
            sent = sent.substr(0, sent.find("Content-Length")) + fmt::format("Content-Length: {}\r\n\r\n", bytes(3)) +
                   bytes(below(50));
        }
        Raw connection(server.port());
        connection.send(sent);
        if (below(4) != 0) connection.finish();
        if (below(3) != 0) connection.receive();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 20; ++i) {
    if (code_of(post(server, R"({"user":"u"})")) == 200) return;
    std::this_thread::sleep_for(100ms);
  }
  FAIL() << "the server does not answer any more";
}

}  // namespace
}  // namespace thinkrec
