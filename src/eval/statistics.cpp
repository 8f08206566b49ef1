#include "eval/statistics.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kRecent = 10;  // as many as a prompt shows

std::size_t checked_row(const Dataset& dataset, std::int64_t row) {
  THINKREC_CHECK(row >= 0 && row < dataset.interactions(), "row {} of {}", row, dataset.interactions());
  return static_cast<std::size_t>(row);
}

/// A rate is 0 or 1 only where all train rows have one label; the bounds keep the logarithm finite there.
double log_odds(double rate) {
  const double bounded = std::clamp(rate, 1e-9, 1 - 1e-9);
  return std::log(bounded / (1 - bounded));
}

}  // namespace

RowStatistics::RowStatistics(const Dataset& dataset, const RatePriors& priors)
    : dataset_(dataset),
      priors_(priors),
      item_rows_(dataset.items.size(), 0),
      item_likes_(dataset.items.size(), 0),
      in_train_(dataset.label.size(), false) {
  for (const double prior : {priors.item, priors.recent, priors.history}) {
    if (!(prior > 0) || !std::isfinite(prior)) fail(ExitCode::kConfig, "statistics: prior {} must be above 0; 5 is usual", prior);
  }
  const std::vector<std::int64_t>& train = dataset.rows(Split::kTrain);
  if (train.empty()) fail(ExitCode::kBadData, "statistics: data set '{}' has no train rows to count", dataset.name);
  std::int64_t likes = 0;
  for (const std::int64_t train_row : train) {
    const std::size_t row = checked_row(dataset, train_row);
    const auto item = static_cast<std::size_t>(dataset.item[row]);
    ++item_rows_[item];
    item_likes_[item] += dataset.label[row];
    likes += dataset.label[row];
    in_train_[row] = true;
  }
  global_ = static_cast<double>(likes) / static_cast<double>(train.size());
  likes_before_.assign(1, 0);
  for (const std::uint8_t label : dataset.label) likes_before_.push_back(likes_before_.back() + label);

  // Mean and deviation, column by column.
  const auto rows = static_cast<double>(train.size());
  std::vector<Values> table;
  for (const std::int64_t row : train) table.push_back(of_row(row));
  for (const Values& line : table) {
    for (std::size_t i = 0; i < kCount; ++i) mean_[i] += line[i] / rows;
  }
  for (const Values& line : table) {
    for (std::size_t i = 0; i < kCount; ++i) deviation_[i] += std::pow(line[i] - mean_[i], 2) / rows;
  }
  for (double& value : deviation_) value = value > 1e-18 ? std::sqrt(value) : 1;  // a constant column, up to rounding
}

RowStatistics::Values RowStatistics::of_row(std::int64_t row) const {
  const std::size_t r = checked_row(dataset_, row);
  const auto item = static_cast<std::size_t>(dataset_.item[r]);
  const bool own = in_train_[r];  // a row must not see its own label
  return values(item_likes_[item] - (own ? dataset_.label[r] : 0), item_rows_[item] - (own ? 1 : 0),
                dataset_.history_begin(row, 0), row);
}

RowStatistics::Values RowStatistics::of_candidate(std::int64_t user, std::int64_t before, std::int32_t item) const {
  const auto i = static_cast<std::size_t>(item);
  return values(item_likes_[i], item_rows_[i], dataset_.user_begin[static_cast<std::size_t>(user)], before);
}

RowStatistics::Values RowStatistics::standard(Values values) const {
  for (std::size_t i = 0; i < kCount; ++i) values[i] = (values[i] - mean_[i]) / deviation_[i];
  return values;
}

double RowStatistics::item_rate(std::int64_t row, double prior) const {
  const auto item = static_cast<std::size_t>(dataset_.item[checked_row(dataset_, row)]);
  return smoothed(item_likes_[item], item_rows_[item], prior);
}

double RowStatistics::smoothed(std::int64_t likes, std::int64_t rows, double prior) const {
  return (static_cast<double>(likes) + prior * global_) / (static_cast<double>(rows) + prior);
}

double RowStatistics::history_rate(std::int64_t begin, std::int64_t end, double prior) const {
  return smoothed(likes_before_[static_cast<std::size_t>(end)] - likes_before_[static_cast<std::size_t>(begin)], end - begin,
                  prior);
}

RowStatistics::Values RowStatistics::values(std::int64_t item_likes, std::int64_t item_rows, std::int64_t history_begin,
                                            std::int64_t history_end) const {
  return {log_odds(smoothed(item_likes, item_rows, priors_.item)),
          log_odds(history_rate(std::max(history_begin, history_end - kRecent), history_end, priors_.recent)),
          log_odds(history_rate(history_begin, history_end, priors_.history)), std::log1p(static_cast<double>(item_rows))};
}

}  // namespace thinkrec
