#pragma once
// What becomes of steps that went wrong: NaN and Inf, and losses that leap.

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>

namespace thinkrec {

class StepGuard {
 public:
  static constexpr std::size_t kWindow = 128;    ///< losses that a leap is measured against
  static constexpr std::int64_t kLately = 1000;  ///< steps of which at most kMostLately may be lost, however far apart
  static constexpr std::size_t kMostLately = 10;

  /// `most_in_a_row` steps may be not finite one after the other. A step whose loss is more than `mads` median absolute deviations above
  /// the median of the last kWindow is a leap; mads 0: none is.
  StepGuard(std::int64_t most_in_a_row, double mads) : most_in_a_row_(most_in_a_row), mads_(mads) {}

  /// Above it, a step's loss is a leap; infinite where leaps are not looked for, or not yet.
  double loss_limit() const;
  /// Takes in a step that was finite; its loss may have been above the limit.
  void add(double loss);
  /// Takes in a step that was not. Why the run has to end, or nothing.
  std::string lost(std::int64_t step);
  /// Whether the last step was not finite.
  bool losing() const { return in_a_row_ > 0; }

  /// For a checkpoint, and back.
  nlohmann::json state() const { return {{"losses", losses_}, {"lost", lost_}, {"in_a_row", in_a_row_}}; }
  void restore(const nlohmann::json& state);

 private:
  std::int64_t most_in_a_row_;
  double mads_;
  std::deque<double> losses_;      // the last kWindow, where leaps are looked for
  std::deque<std::int64_t> lost_;  // steps, the last kLately's
  std::int64_t in_a_row_ = 0;
};

}  // namespace thinkrec
