#include "encoders/fit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "encoders/random.h"

namespace thinkrec {
namespace {

/// What this rank takes of `size` things: a contiguous piece.
template <class T>
std::span<const T> share(std::span<const T> all, const Collectives& group) {
  const std::size_t begin = all.size() * group.rank() / group.size(), end = all.size() * (group.rank() + 1) / group.size();
  return all.subspan(begin, end - begin);
}

/// The running mean of the parameters; early on it forgets faster, so that the initial values do not linger.
class Average {
 public:
  Average(std::span<const float> values, double decay) : mean_(values.begin(), values.end()), decay_(decay) {}
  void add(std::span<const float> values) {
    ++steps_;
    const auto keep = static_cast<float>(std::min(decay_, steps_ / (steps_ + 10.0)));
    for (std::size_t i = 0; i < mean_.size(); ++i) mean_[i] = keep * mean_[i] + (1 - keep) * values[i];
  }
  /// Exchanges the mean and `values`.
  void swap(std::span<float> values) { std::swap_ranges(mean_.begin(), mean_.end(), values.begin()); }

 private:
  std::vector<float> mean_;
  double decay_, steps_ = 0;
};

/// One pass over the train rows; returns this rank's part of the summed loss.
double train_epoch(Objective& objective, Adam& adam, Average& average, Collectives& group, std::uint64_t order_key,
                   std::int64_t& step) {
  const std::vector<std::int64_t> order = random_permutation(objective.samples(), order_key);
  const std::span<const std::int64_t> all = order;
  const auto gradients = objective.parameters().gradients();
  double loss_sum = 0;
  for (std::size_t begin = 0; begin < all.size(); ++step) {
    const auto batch = all.subspan(begin, std::min<std::size_t>(objective.batch_samples(), all.size() - begin));
    begin += batch.size();
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    if (const auto mine = share(batch, group); !mine.empty()) {
      const at::Tensor loss = objective.loss(mine, step);
      loss.backward();
      loss_sum += loss.item<double>();
    }
    group.all_reduce_sum(gradients);
    std::int64_t targets = 0;
    for (std::int64_t sample : batch) targets += objective.targets(sample);
    adam.step(1.0f / static_cast<float>(targets));
    average.add(objective.parameters().values());
  }
  return loss_sum;
}

/// The valid rows' scores, each rank doing its part, in the order of `rows`. Sorted first: neighbours share work.
std::vector<double> score_together(Objective& objective, std::span<const std::int64_t> rows, Collectives& group) {
  std::vector<std::int64_t> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return rows[a] < rows[b]; });
  const auto mine = share(std::span<const std::int64_t>(order), group);
  std::vector<std::int64_t> my_rows;
  for (std::int64_t i : mine) my_rows.push_back(rows[i]);
  const std::vector<double> my_scores = objective.scores(my_rows);
  std::vector<double> scores(rows.size());
  for (std::size_t i = 0; i < mine.size(); ++i) scores[mine[i]] = my_scores[i];
  group.all_reduce_sum(std::span<double>(scores));  // one rank gives the value, the others zero: exact
  return scores;
}

}  // namespace

void fit(Objective& objective, const EncoderConfig& config, const Dataset& dataset, Collectives& group,
         const ValidScore& valid_score, const EncoderReport& report) {
  Adam adam(objective.parameters(), config.learning_rate, config.weight_decay);
  const auto values = objective.parameters().values();
  Average average(values, config.averaging);
  std::vector<float> best(values.begin(), values.end());
  double best_score = -std::numeric_limits<double>::infinity();
  double target_count = 0;
  for (std::int64_t sample = 0; sample < objective.samples(); ++sample)
    target_count += static_cast<double>(objective.targets(sample));
  std::int64_t step = 0, best_epoch = 0;
  for (std::int64_t epoch = 1; epoch <= config.max_epochs && epoch - best_epoch <= config.patience; ++epoch) {
    EncoderProgress progress{.epoch = epoch};
    double loss_sum =
        train_epoch(objective, adam, average, group, random_key({config.seed, static_cast<std::uint64_t>(epoch)}), step);
    group.all_reduce_sum(std::span(&loss_sum, 1));
    progress.train_loss = loss_sum / target_count;
    if (!std::isfinite(progress.train_loss))
      fail(ExitCode::kDiverged, "encoder {}: the loss of epoch {} is not finite; lower encoder.learning_rate (now {})",
           config.kind, epoch, config.learning_rate);

    average.swap(values);
    const std::vector<double> scores = score_together(objective, dataset.rows(Split::kValid), group);
    if (group.rank() == 0) progress.valid_score = valid_score(scores);
    group.broadcast(std::as_writable_bytes(std::span(&progress.valid_score, 1)), 0);
    progress.best = progress.valid_score > best_score;
    if (progress.best) {
      best_score = progress.valid_score;
      best_epoch = epoch;
      best.assign(values.begin(), values.end());
    }
    average.swap(values);
    if (report) report(progress);
  }
  std::copy(best.begin(), best.end(), values.begin());
}

}  // namespace thinkrec
