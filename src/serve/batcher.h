#pragma once
// Requests of many threads, ranked together: a bounded queue in front of one thread that calls the backend.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "serve/ranking.h"

namespace thinkrec {

struct BatcherConfig {
  std::size_t max_batch = 16;             ///< >= 1
  std::chrono::milliseconds max_wait{5};  ///< the first request of a batch waits this long for company
  std::size_t queue = 256;                ///< requests that may wait, >= 1
};

struct BatchOutcome {
  enum Kind { kReplied, kQueueFull, kTooLate, kGone, kFailed, kStopping } kind = kFailed;
  RankReply reply{};    ///< kReplied
  std::string error{};  ///< kFailed: what the backend threw; for the log, not for clients
};

class Batcher {
 public:
  using Clock = std::chrono::steady_clock;
  /// `ranked(requests, seconds)` is told of every call to the backend.
  Batcher(RankingBackend& backend, const BatcherConfig& config, std::function<void(std::size_t, double)> ranked = {});
  ~Batcher();  ///< as stop()
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  /// Waits for the reply, until `deadline` at most. A request whose deadline passes in the queue is never ranked, nor
  /// one of which `gone`, asked ten times a second, says meanwhile that nobody waits for it (kGone). When a batch throws, its requests are
  /// tried one by one, so that only the one that is to blame fails. A reply for another user or id than asked is kFailed.
  BatchOutcome rank(RankRequest request, Clock::time_point deadline, const std::function<bool()>& gone = {});
  std::size_t queued() const;
  /// Ranks what is queued, takes no more, and ends the thread.
  void stop();

 private:
  struct Job {
    RankRequest request;
    Clock::time_point deadline;
    BatchOutcome outcome{};
    bool done = false;  // under mutex_
  };
  using Jobs = std::vector<std::shared_ptr<Job>>;

  void work();
  Jobs next_batch();  // empty: stopped
  void serve(const Jobs& jobs);
  std::vector<BatchOutcome> call(std::span<const RankRequest> requests);

  RankingBackend& backend_;
  BatcherConfig config_;
  std::function<void(std::size_t, double)> ranked_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_, finished_;
  std::deque<std::shared_ptr<Job>> queue_;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace thinkrec
