#include "eval/bootstrap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "core/error.h"
#include "eval/user_table.h"

namespace thinkrec {
namespace {

using Values = std::array<double, 4>;  // AUC, UAUC, NDCG, MAP

Values values_of(const RankingMetrics& metrics) { return {metrics.auc, metrics.uauc, metrics.ndcg, metrics.map}; }

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the input reaches every bit of the output.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

void draw_users(std::uint64_t seed, std::int64_t resample, std::vector<std::int32_t>& weight) {
  std::fill(weight.begin(), weight.end(), 0);
  const std::uint64_t key = mixed(mixed(seed) ^ static_cast<std::uint64_t>(resample));
  for (std::uint64_t draw = 0; draw < weight.size(); ++draw) {
    // The high half of the product maps 64 bits onto 0 .. users - 1; its bias is below users / 2^64.
    const auto user = static_cast<unsigned __int128>(mixed(key ^ draw)) * weight.size() >> 64;
    ++weight[static_cast<std::size_t>(user)];
  }
}

/// statistic(weights) for each resample; order and threads do not matter, since a resample is a function of its number.
template <class Statistic>
std::vector<Values> resampled(std::int64_t users, int resamples, std::uint64_t seed, const Statistic& statistic) {
  std::vector<Values> out(static_cast<std::size_t>(resamples));
#pragma omp parallel
  {
    std::vector<std::int32_t> weight(static_cast<std::size_t>(users));
#pragma omp for schedule(static)
    for (int r = 0; r < resamples; ++r) {
      draw_users(seed, r, weight);
      out[static_cast<std::size_t>(r)] = statistic(weight);
    }
  }
  return out;
}

MetricIntervals intervals_of(const std::vector<Values>& resamples, double level) {
  const auto of = [&](std::size_t metric) {
    std::vector<double> values;
    for (const Values& resample : resamples) values.push_back(resample[metric]);
    return percentile_interval(std::move(values), level);
  };
  return {of(0), of(1), of(2), of(3)};
}

void check_settings(int resamples, double level) {
  if (resamples < 1) fail(ExitCode::kConfig, "bootstrap: {} resamples; at least 1 is needed, 1000 is usual", resamples);
  if (!(level > 0 && level < 1)) fail(ExitCode::kConfig, "bootstrap: level {} is not between 0 and 1; 0.95 is usual", level);
}

}  // namespace

std::vector<std::int32_t> resample_weights(std::uint64_t seed, std::int64_t resample, std::int64_t users) {
  std::vector<std::int32_t> weight(static_cast<std::size_t>(users));
  draw_users(seed, resample, weight);
  return weight;
}

Interval percentile_interval(std::vector<double> values, double level) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {quantile((1 - level) / 2), quantile((1 + level) / 2)};
}

MetricIntervals user_bootstrap(const ScoredRows& rows, int k, int resamples, std::uint64_t seed, double level) {
  check_settings(resamples, level);
  const UserTable table(rows, k);
  return intervals_of(
      resampled(table.users(), resamples, seed, [&](const auto& weight) { return values_of(table.weighted(weight)); }), level);
}

PairedDifference paired_bootstrap(const ScoredRows& a, const ScoredRows& b, int k, int resamples, std::uint64_t seed,
                                  double level) {
  check_settings(resamples, level);
  THINKREC_CHECK(a.user == b.user && a.label == b.label, "the two models were scored on different rows");
  const UserTable table_a(a, k), table_b(b, k);
  const auto difference = [&](const std::vector<std::int32_t>& weight) {
    const Values of_a = values_of(table_a.weighted(weight)), of_b = values_of(table_b.weighted(weight));
    return Values{of_a[0] - of_b[0], of_a[1] - of_b[1], of_a[2] - of_b[2], of_a[3] - of_b[3]};
  };
  const Values all = difference(std::vector<std::int32_t>(static_cast<std::size_t>(table_a.users()), 1));
  return {all[0], all[1], all[2], all[3], intervals_of(resampled(table_a.users(), resamples, seed, difference), level)};
}

Interval mean_interval(std::span<const double> value, std::span<const std::int32_t> user, int resamples, std::uint64_t seed,
                       double level) {
  check_settings(resamples, level);
  THINKREC_CHECK(!value.empty() && value.size() == user.size(), "{} values of {} rows", value.size(), user.size());
  std::map<std::int32_t, std::pair<double, double>> users;  // sum and rows of each
  for (std::size_t i = 0; i < value.size(); ++i) {
    users[user[i]].first += value[i];
    users[user[i]].second += 1;
  }
  std::vector<double> means;
  std::vector<std::int32_t> weight(users.size());
  for (int r = 0; r < resamples; ++r) {
    draw_users(seed, r, weight);
    double sum = 0, rows = 0;
    for (std::size_t u = 0; const auto& [number, one] : users) {
      sum += weight[u] * one.first;
      rows += weight[u++] * one.second;
    }
    means.push_back(sum / rows);
  }
  return percentile_interval(std::move(means), level);
}

}  // namespace thinkrec
