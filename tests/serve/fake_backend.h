#pragma once
// A backend that does as the user's name says: "slow-50-x" takes 50 ms, "throw" throws, "nobody" is unknown; items tell whose they are.

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "serve/ranking.h"

namespace thinkrec {

class FakeBackend : public RankingBackend {
 public:
  std::vector<RankReply> rank(std::span<const RankRequest> requests) override {
    if (inside_.exchange(true)) throw std::logic_error("two threads at once");
    calls_ += 1;
    largest_ = std::max<std::size_t>(largest_, requests.size());
    std::vector<RankReply> replies;
    int wait = delay_ms;
    bool thrown = false;
    for (const RankRequest& request : requests) {
      if (request.user.starts_with("slow-")) wait = std::max(wait, std::stoi(request.user.substr(5)));
      thrown = thrown || request.user == "throw";
      RankReply reply{request.id, request.user};
      if (request.user == "nobody") {
        reply.status = RankStatus::kUnknownUser;
        reply.error = "user 'nobody' is not in the data";
      } else {
        for (std::int64_t i = 0; i < request.top; ++i)
          reply.items.push_back({request.user + "/" + std::to_string(i), "Film", 1, 0.5, request.explain ? "because" : ""});
        reply.decision = "global";
        reply.weights = {0.25, 0.75};
      }
      if (request.user == "swapped") reply.user = "another";
      replies.push_back(std::move(reply));
    }
    if (wait > 0) std::this_thread::sleep_for(std::chrono::milliseconds(wait));
    inside_ = false;
    if (thrown) throw std::runtime_error("a tensor is not finite");
    return replies;
  }

  std::atomic<int> delay_ms = 0;
  std::size_t calls() const { return calls_; }
  std::size_t largest() const { return largest_; }

 private:
  std::atomic<bool> inside_ = false;
  std::atomic<std::size_t> calls_ = 0, largest_ = 0;
};

}  // namespace thinkrec
