#pragma once
// What steps need, made ahead of them by a thread of its own, so that a step finds it ready.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "core/error.h"

namespace thinkrec {

/// Calls make(first), make(first + 1), ..., make(end - 1) in order on another thread, at most `depth` ahead of what next() has given.
/// An error of make comes out of the next() whose turn it is; nothing is made after it. The destructor waits for the call at hand.
template <class Value>
class ReadAhead {
 public:
  ReadAhead(std::int64_t first, std::int64_t end, std::function<Value(std::int64_t)> make, std::size_t depth = 4)
      : make_(std::move(make)), left_(end > first ? end - first : 0), depth_(depth) {
    THINKREC_CHECK(depth_ > 0, "reading ahead by nothing");
    thread_ = std::thread([this, first, end] { run(first, end); });
  }
  ~ReadAhead() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The next value; kInternal when all were given, or one could not be made.
  Value next() {
    THINKREC_CHECK(left_ > 0, "read past the last step");
    --left_;
    const auto start = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty() || error_; });
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (ready_.empty()) {
      left_ = 0;
      std::rethrow_exception(error_);
    }
    Value value = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return value;
  }

  /// Seconds that next() has waited in all.
  double waited() const { return waited_; }

 private:
  void run(std::int64_t first, std::int64_t end) {
    try {
      for (std::int64_t step = first; step < end; ++step) {
        {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return stop_ || ready_.size() < depth_; });
          if (stop_) return;
        }
        Value value = make_(step);
        {
          const std::lock_guard lock(mutex_);
          ready_.push_back(std::move(value));
        }
        changed_.notify_all();
      }
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
      }
      changed_.notify_all();
    }
  }

  std::function<Value(std::int64_t)> make_;
  std::int64_t left_;
  std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Value> ready_;
  std::exception_ptr error_;
  bool stop_ = false;
  double waited_ = 0;
  std::thread thread_;
};

}  // namespace thinkrec
