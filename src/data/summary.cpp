#include "data/summary.h"

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace thinkrec {
namespace {

constexpr std::int64_t kShortHistory = 10;  // what a prompt shows by default

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<std::int64_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

double median(std::vector<std::int64_t>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return static_cast<double>(*middle);
  return (static_cast<double>(*middle) + static_cast<double>(*std::max_element(values.begin(), middle))) / 2;
}

std::int64_t count_true(const std::vector<std::uint8_t>& flags) {
  return std::count(flags.begin(), flags.end(), std::uint8_t{1});
}

SplitSummary summarize_split(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                             const std::vector<std::uint8_t>& train_user, const std::vector<std::uint8_t>& train_item) {
  THINKREC_CHECK(!rows.empty());
  SplitSummary out;
  out.rows = static_cast<std::int64_t>(rows.size());
  std::vector<std::uint8_t> user_seen(dataset.users.size()), item_seen(dataset.items.size());
  std::vector<std::int64_t> history;
  history.reserve(rows.size());
  std::int64_t positive = 0, warm = 0, few = 0;
  for (const std::int64_t row : rows) {
    const auto i = static_cast<std::size_t>(row);
    const auto user = static_cast<std::size_t>(dataset.user[i]), item = static_cast<std::size_t>(dataset.item[i]);
    user_seen[user] = item_seen[item] = 1;
    positive += dataset.label[i];
    warm += train_user[user] != 0 && train_item[item] != 0 ? 1 : 0;
    history.push_back(row - dataset.history_begin(row, 0));
    out.empty_histories += history.back() == 0 ? 1 : 0;
    few += history.back() < kShortHistory ? 1 : 0;
  }
  const auto n = static_cast<double>(rows.size());
  out.users = count_true(user_seen);
  out.items = count_true(item_seen);
  out.positive = static_cast<double>(positive) / n;
  out.not_cold = static_cast<double>(warm) / n;
  out.short_histories = static_cast<double>(few) / n;
  out.median_history = median(history);
  return out;
}

}  // namespace

DatasetSummary summarize(const Dataset& dataset) {
  DatasetSummary out;
  out.users = static_cast<std::int64_t>(dataset.users.size());
  out.items = static_cast<std::int64_t>(dataset.items.size());
  std::vector<std::int64_t> per_user(dataset.users.size());
  std::vector<std::uint8_t> train_user(dataset.users.size()), train_item(dataset.items.size());
  for (const std::int64_t row : dataset.rows(Split::kTrain)) {
    const auto i = static_cast<std::size_t>(row);
    ++per_user[static_cast<std::size_t>(dataset.user[i])];
    train_user[static_cast<std::size_t>(dataset.user[i])] = 1;
    train_item[static_cast<std::size_t>(dataset.item[i])] = 1;
  }
  for (std::size_t s = 0; s < 3; ++s) out.splits[s] = summarize_split(dataset, dataset.splits[s], train_user, train_item);

  std::erase(per_user, 0);
  const auto n = static_cast<double>(per_user.size());
  const double mean = static_cast<double>(dataset.rows(Split::kTrain).size()) / n;
  double squares = 0;
  for (const std::int64_t count : per_user) squares += (static_cast<double>(count) - mean) * (static_cast<double>(count) - mean);
  out.sigma_over_mu = n > 1 ? std::sqrt(squares / (n - 1)) / mean : 0;
  return out;
}

std::string summary_text(const Dataset& dataset, const DatasetSummary& summary) {
  const int width = std::max(7, static_cast<int>(dataset.name.size()));
  const auto& [train, valid, test] = summary.splits;
  std::string text = fmt::format("{:<{}}  {:>11}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8}\n", "Dataset", width, "#Train", "#Valid",
                                 "#Test", "#User", "#Item", "sigma/mu");
  text +=
      fmt::format("{:<{}}  {:>11}  {:>9}  {:>9}  {:>9}  {:>9}  {:>8.2f}\n\n", dataset.name, width, grouped(train.rows),
                  grouped(valid.rows), grouped(test.rows), grouped(summary.users), grouped(summary.items), summary.sigma_over_mu);
  text += fmt::format("{:<{}}  {:>11}  {:>9}  {:>9}  {:>9}  {:>9}  {:>14}  {:>13}  {:>11}\n", "Split", width, "rows", "users",
                      "items", "positive", "not cold", "history median", "history empty", "history <10");
  for (std::size_t s = 0; s < 3; ++s) {
    const SplitSummary& split = summary.splits[s];
    text += fmt::format("{:<{}}  {:>11}  {:>9}  {:>9}  {:>8.2f}%  {:>8.2f}%  {:>14}  {:>13}  {:>10.1f}%\n", kSplitNames[s], width,
                        grouped(split.rows), grouped(split.users), grouped(split.items), 100 * split.positive,
                        100 * split.not_cold, split.median_history, grouped(split.empty_histories), 100 * split.short_histories);
  }
  return text;
}

std::string summary_json(const Dataset& dataset, const DatasetSummary& summary) {
  nlohmann::ordered_json json = {{"name", dataset.name}};
  for (std::size_t s = 0; s < 3; ++s) json[kSplitNames[s]] = summary.splits[s].rows;
  json["users"] = summary.users;
  json["items"] = summary.items;
  json["sigma_over_mu"] = summary.sigma_over_mu;
  return json.dump() + "\n";
}

}  // namespace thinkrec
