#pragma once
// Counters of the server, in Prometheus' text format (version 0.0.4). Safe from any thread.

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace thinkrec {

/// Cumulative buckets with a sum and a count.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void add(double value);
  std::string text(const std::string& name, const std::string& help) const;

 private:
  std::vector<double> bounds_;  // upper, inclusive; a last one is +Inf
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

class ServeMetrics {
 public:
  ServeMetrics();
  void replied(int code);
  void took(double seconds);  ///< a POST, from its body read to its reply
  void ranked(std::size_t batch, double seconds);
  std::string text(std::size_t queued) const;

 private:
  mutable std::mutex mutex_;
  std::map<int, std::uint64_t> replies_;
  Histogram latency_, batch_size_, batch_seconds_;
};

}  // namespace thinkrec
