#include "eval/baselines.h"

#include <cmath>

#include "core/error.h"
#include "eval/logistic.h"

namespace thinkrec {
namespace {

constexpr double kRidge = 1e-6;

}  // namespace

std::vector<double> item_mean_scores(const Dataset& dataset, std::span<const std::int64_t> rows, double prior) {
  const RowStatistics statistics(dataset, {.item = prior});
  std::vector<double> out;
  for (const std::int64_t row : rows) out.push_back(statistics.item_rate(row, prior));
  return out;
}

std::vector<double> logistic_scores(const Dataset& dataset, std::span<const std::int64_t> rows, const RatePriors& priors) {
  const RowStatistics statistics(dataset, priors);
  std::vector<double> table;
  std::vector<std::uint8_t> labels;
  for (const std::int64_t row : dataset.rows(Split::kTrain)) {
    const auto values = statistics.standard(statistics.of_row(row));
    table.insert(table.end(), values.begin(), values.end());
    labels.push_back(dataset.label[static_cast<std::size_t>(row)]);
  }
  const LogisticModel model = fit_logistic(table, labels, RowStatistics::kCount, kRidge);
  std::vector<double> out;
  for (const std::int64_t row : rows) {
    const auto values = statistics.standard(statistics.of_row(row));
    out.push_back(1 / (1 + std::exp(-model.logit(values))));
  }
  return out;
}

}  // namespace thinkrec
