// What HTTP and the queue add to a request: percentiles of the time a client waits, beside a backend that takes a fixed time for a batch.
//   bench_serve [milliseconds of a batch, default 0] [requests, default 2000]

#include <httplib.h>

#include <algorithm>
#include <cstdio>

#include "core/error.h"
#include "core/run_program.h"
#include "serve/fake_backend.h"
#include "serve/server.h"

int main(int argc, char** argv) {
  return thinkrec::run_program("bench_serve", [&] {
    thinkrec::FakeBackend backend;
    backend.delay_ms = argc > 1 ? std::stoi(argv[1]) : 0;
    const int requests = argc > 2 ? std::stoi(argv[2]) : 2000;
    thinkrec::ServeConfig config;
    config.port = 0;
    const thinkrec::RecommendServer server(backend, config);
    std::printf("clients  requests/s  p50 ms  p99 ms  (a batch takes %d ms, max-wait %d ms)\n", backend.delay_ms.load(),
                static_cast<int>(config.max_wait.count()));
    for (const int clients : {1, 8, 32}) {
      using Clock = std::chrono::steady_clock;
      std::vector<std::vector<double>> times(static_cast<std::size_t>(clients));
      std::vector<std::thread> threads;
      std::atomic<int> failed = 0;
      const auto begin = Clock::now();
      for (auto& mine : times) {
        threads.emplace_back([&] {
          for (int i = 0; i < requests / clients; ++i) {
            const auto start = Clock::now();
            httplib::Client client("127.0.0.1", server.port());
            const auto done = client.Post("/v1/recommend", R"({"user":"u"})", "application/json");
            failed += !done || done->status != 200;
            mine.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      std::vector<double> all;
      for (const auto& mine : times) all.insert(all.end(), mine.begin(), mine.end());
      std::sort(all.begin(), all.end());
      const auto at = [&](double share) { return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))]; };
      std::printf("%7d  %10.0f  %6.2f  %6.2f\n", clients, static_cast<double>(all.size()) / seconds, at(0.5), at(0.99));
      if (failed > 0) thinkrec::fail(thinkrec::ExitCode::kInternal, "{} requests failed", failed.load());
    }
    return 0;
  });
}
