#pragma once
// Coroutines, each on a stack with a guard page below it. AddressSanitizer hears of every switch.

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

namespace simt::detail {

struct Fibre {
  void* bottom = nullptr;  // of its stack
  boost::context::detail::fcontext_t where = nullptr;
  void* fake_stack = nullptr;
};

/// Lives as long as the process: a stack is used again by every block.
class Fibres {
 public:
  /// What a fibre runs when it is resumed for the first time, and again when it is resumed after the end of `body`, which throws nothing.
  explicit Fibres(std::function<void()> body) : body_(std::move(body)) {}

  Fibre* at(std::size_t i);
  /// From outside: runs the fibre until it suspends or its body ends.
  void resume(Fibre& fibre);
  /// From the fibre that runs: back to who resumed it.
  void suspend();

 private:
  static void entry(boost::context::detail::transfer_t from);

  std::function<void()> body_;
  std::deque<Fibre> fibres_;
  Fibre* running_ = nullptr;
  boost::context::detail::fcontext_t outside_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_size_ = 0;
};

}  // namespace simt::detail
