#include "eval/baselines.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "eval/logistic.h"

namespace thinkrec {
namespace {

constexpr std::size_t kFeatures = 4;
constexpr std::int64_t kRecent = 10;  // as many as a prompt shows
constexpr double kRidge = 1e-6;
using Features = std::array<double, kFeatures>;

void check_prior(double prior) {
  if (!(prior > 0) || !std::isfinite(prior)) fail(ExitCode::kConfig, "baselines: prior {} must be above 0; 5 is usual", prior);
}

std::size_t checked_row(const Dataset& dataset, std::int64_t row) {
  THINKREC_CHECK(row >= 0 && row < dataset.interactions(), "row {} of {}", row, dataset.interactions());
  return static_cast<std::size_t>(row);
}

/// Likes and rows of each item in the train split, and what the features need of each row's history.
class Counts {
 public:
  explicit Counts(const Dataset& dataset)
      : dataset_(dataset),
        item_rows_(dataset.items.size(), 0),
        item_likes_(dataset.items.size(), 0),
        in_train_(dataset.label.size(), false) {
    const std::vector<std::int64_t>& train = dataset.rows(Split::kTrain);
    if (train.empty()) fail(ExitCode::kBadData, "baselines: data set '{}' has no train rows to count", dataset.name);
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
  }

  double smoothed(std::int64_t likes, std::int64_t rows, double prior) const {
    return (static_cast<double>(likes) + prior * global_) / (static_cast<double>(rows) + prior);
  }

  double item_rate(std::int64_t row, double prior) const {
    const auto item = static_cast<std::size_t>(dataset_.item[checked_row(dataset_, row)]);
    return smoothed(item_likes_[item], item_rows_[item], prior);
  }

  Features features(std::int64_t row, const LogisticPriors& priors) const {
    const std::size_t r = checked_row(dataset_, row);
    const auto item = static_cast<std::size_t>(dataset_.item[r]);
    const bool own = in_train_[r];  // a row must not see its own label
    const std::int64_t item_rows = item_rows_[item] - (own ? 1 : 0),
                       item_likes = item_likes_[item] - (own ? dataset_.label[r] : 0);
    return {log_odds(smoothed(item_likes, item_rows, priors.item)), log_odds(history_rate(row, kRecent, priors.recent)),
            log_odds(history_rate(row, 0, priors.history)), std::log1p(static_cast<double>(item_rows))};
  }

 private:
  double history_rate(std::int64_t row, std::int64_t limit, double prior) const {
    const std::int64_t begin = dataset_.history_begin(row, limit);
    return smoothed(likes_before_[static_cast<std::size_t>(row)] - likes_before_[static_cast<std::size_t>(begin)], row - begin,
                    prior);
  }

  /// A rate is 0 or 1 only where all train rows have one label; the bounds keep the logarithm finite there.
  static double log_odds(double rate) {
    const double bounded = std::clamp(rate, 1e-9, 1 - 1e-9);
    return std::log(bounded / (1 - bounded));
  }

  const Dataset& dataset_;
  std::vector<std::int64_t> item_rows_, item_likes_, likes_before_;
  std::vector<bool> in_train_;
  double global_ = 0;
};

/// Column by column to mean 0 and deviation 1.
struct Standard {
  Features mean{}, deviation{};

  explicit Standard(const std::vector<double>& table) {
    const auto rows = static_cast<double>(table.size() / kFeatures);
    for (std::size_t i = 0; i < table.size(); ++i) mean[i % kFeatures] += table[i] / rows;
    for (std::size_t i = 0; i < table.size(); ++i) deviation[i % kFeatures] += std::pow(table[i] - mean[i % kFeatures], 2) / rows;
    for (double& value : deviation) value = value > 1e-18 ? std::sqrt(value) : 1;  // a constant column, up to rounding
  }

  double apply(double value, std::size_t column) const { return (value - mean[column]) / deviation[column]; }
};

}  // namespace

std::vector<double> item_mean_scores(const Dataset& dataset, std::span<const std::int64_t> rows, double prior) {
  check_prior(prior);
  const Counts counts(dataset);
  std::vector<double> out;
  for (const std::int64_t row : rows) out.push_back(counts.item_rate(row, prior));
  return out;
}

std::vector<double> logistic_scores(const Dataset& dataset, std::span<const std::int64_t> rows, const LogisticPriors& priors) {
  for (const double prior : {priors.item, priors.recent, priors.history}) check_prior(prior);
  const Counts counts(dataset);
  std::vector<double> table;
  std::vector<std::uint8_t> labels;
  for (const std::int64_t row : dataset.rows(Split::kTrain)) {
    const Features features = counts.features(row, priors);
    table.insert(table.end(), features.begin(), features.end());
    labels.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  const Standard standard(table);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = standard.apply(table[i], i % kFeatures);
  const LogisticModel model = fit_logistic(table, labels, kFeatures, kRidge);
  std::vector<double> out;
  for (const std::int64_t row : rows) {
    Features features = counts.features(row, priors);
    for (std::size_t j = 0; j < kFeatures; ++j) features[j] = standard.apply(features[j], j);
    out.push_back(1 / (1 + std::exp(-model.logit(features))));
  }
  return out;
}

}  // namespace thinkrec
