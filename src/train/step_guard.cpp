#include "train/step_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace thinkrec {
namespace {

double median(std::vector<double> values) {
  const auto half = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), half, values.end());
  if (values.size() % 2 == 1) return *half;
  return (*half + *std::max_element(values.begin(), half)) / 2;
}

}  // namespace

double StepGuard::loss_limit() const {
  if (mads_ == 0 || losses_.size() < kWindow) return std::numeric_limits<double>::infinity();
  const double middle = median({losses_.begin(), losses_.end()});
  std::vector<double> deviations;
  for (const double loss : losses_) deviations.push_back(std::abs(loss - middle));
  return middle + mads_ * median(std::move(deviations));
}

void StepGuard::add(double loss) {
  in_a_row_ = 0;
  if (mads_ == 0) return;
  losses_.push_back(loss);
  if (losses_.size() > kWindow) losses_.pop_front();
}

std::string StepGuard::lost(std::int64_t step) {
  lost_.push_back(step);
  while (lost_.front() <= step - kLately) lost_.pop_front();
  if (++in_a_row_ > most_in_a_row_) return fmt::format("{} steps in a row were not finite", in_a_row_);
  if (lost_.size() > std::max<std::size_t>(kMostLately, static_cast<std::size_t>(most_in_a_row_)))
    return fmt::format("{} of the last {} steps were not finite", lost_.size(), std::min(step, kLately));
  return "";
}

void StepGuard::restore(const nlohmann::json& state) {
  losses_ = state.at("losses").get<std::deque<double>>();
  lost_ = state.at("lost").get<std::deque<std::int64_t>>();
  in_a_row_ = state.at("in_a_row").get<std::int64_t>();
}

}  // namespace thinkrec
