#include "serve/serve_metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace thinkrec {
namespace {

const std::vector<double> kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
const std::vector<double> kSizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};

}  // namespace

void Histogram::add(double value) {
  ++counts_[static_cast<std::size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin())];
  sum_ += value;
}

std::string Histogram::text(const std::string& name, const std::string& help) const {
  std::string out = fmt::format("# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    out += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf", below);
  }
  return out + fmt::format("{0}_sum {1}\n{0}_count {2}\n", name, sum_, below);
}

ServeMetrics::ServeMetrics() : latency_(kSeconds), batch_size_(kSizes), batch_seconds_(kSeconds) {}

void ServeMetrics::replied(int code) {
  const std::lock_guard lock(mutex_);
  ++replies_[code];
}

void ServeMetrics::took(double seconds) {
  const std::lock_guard lock(mutex_);
  latency_.add(seconds);
}

void ServeMetrics::ranked(std::size_t batch, double seconds) {
  const std::lock_guard lock(mutex_);
  batch_size_.add(static_cast<double>(batch));
  batch_seconds_.add(seconds);
}

std::string ServeMetrics::text(std::size_t queued) const {
  const std::lock_guard lock(mutex_);
  std::string out = "# HELP thinkrec_requests_total Replies to all requests but those of /health and /metrics.\n# TYPE thinkrec_requests_total counter\n";
  for (const auto& [code, count] : replies_) out += fmt::format("thinkrec_requests_total{{code=\"{}\"}} {}\n", code, count);
  out += "# HELP thinkrec_queue_length Requests that wait for a batch.\n# TYPE thinkrec_queue_length gauge\n";
  out += fmt::format("thinkrec_queue_length {}\n", queued);
  out += batch_size_.text("thinkrec_batch_size", "Requests ranked together.");
  out += batch_seconds_.text("thinkrec_batch_seconds", "Time to rank a batch.");
  return out + latency_.text("thinkrec_request_seconds", "Time from a POST read to its reply, whatever its code.");
}

}  // namespace thinkrec
