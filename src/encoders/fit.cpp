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

/// Sums the gradients over the ranks; of the sparse table, the rows that some rank has touched.
void sum_gradients(Parameters& parameters, Collectives& group) {
  const auto sparse = parameters.sparse();
  if (!sparse) return group.all_reduce_sum(parameters.gradients());
  if (group.size() == 1) return;
  const std::vector<std::int64_t> mine = parameters.touched();
  parameters.touch(all_gather_values(group, std::span(mine)));
  const std::vector<std::int64_t> rows = parameters.touched();
  const std::int64_t width = parameters.specs()[*sparse].shape[1], begin = parameters.begin(*sparse);
  const auto all = parameters.gradients();
  // The dense parts lie around the table.
  const auto before = all.first(begin), after = all.subspan(parameters.begin(*sparse + 1));
  std::vector<float> packed(before.begin(), before.end());
  packed.insert(packed.end(), after.begin(), after.end());
  for (std::int64_t row : rows) {
    const auto part = all.subspan(begin + row * width, width);
    packed.insert(packed.end(), part.begin(), part.end());
  }
  group.all_reduce_sum(packed);
  const float* from = packed.data();
  const auto unpack = [&](std::span<float> to) {
    std::copy_n(from, to.size(), to.begin());
    from += to.size();
  };
  unpack(before);
  unpack(after);
  for (std::int64_t row : rows) unpack(all.subspan(begin + row * width, width));
}

/// One pass over the train rows; returns this rank's part of the summed loss.
double train_epoch(Objective& objective, Adam& adam, Collectives& group, std::uint64_t order_key, std::int64_t& step) {
  const std::vector<std::int64_t> order = random_permutation(objective.samples(), order_key);
  const std::span<const std::int64_t> all = order;
  double loss_sum = 0;
  for (std::size_t begin = 0; begin < all.size(); ++step) {
    const auto batch = all.subspan(begin, std::min<std::size_t>(objective.batch_samples(), all.size() - begin));
    begin += batch.size();
    if (const auto mine = share(batch, group); !mine.empty()) {
      const at::Tensor loss = objective.loss(mine, step);
      loss.backward();
      loss_sum += loss.item<double>();
    }
    sum_gradients(objective.parameters(), group);
    std::int64_t targets = 0;
    for (std::int64_t sample : batch) targets += objective.targets(sample);
    adam.step(1.0f / static_cast<float>(std::max<std::int64_t>(1, targets)));  // a batch may be without
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
  Adam adam(objective.parameters(), config.learning_rate, config.weight_decay, config.averaging);
  const auto values = objective.parameters().values();
  std::vector<float> best(values.begin(), values.end());
  double best_score = -std::numeric_limits<double>::infinity();
  double target_count = 0;
  for (std::int64_t sample = 0; sample < objective.samples(); ++sample)
    target_count += static_cast<double>(objective.targets(sample));
  std::int64_t step = 0, best_epoch = 0;
  for (std::int64_t epoch = 1; epoch <= config.max_epochs && epoch - best_epoch <= config.patience; ++epoch) {
    EncoderProgress progress{.epoch = epoch};
    double loss_sum = train_epoch(objective, adam, group, random_key({config.seed, static_cast<std::uint64_t>(epoch)}), step);
    group.all_reduce_sum(std::span(&loss_sum, 1));
    progress.train_loss = loss_sum / target_count;
    if (!std::isfinite(progress.train_loss))
      fail(ExitCode::kDiverged, "encoder {}: the loss of epoch {} is not finite; lower encoder.learning_rate (now {})",
           config.kind, epoch, config.learning_rate);

    adam.settle();
    adam.swap_mean();
    const std::vector<double> scores = score_together(objective, dataset.rows(Split::kValid), group);
    if (group.rank() == 0) progress.valid_score = valid_score(scores);
    group.broadcast(std::as_writable_bytes(std::span(&progress.valid_score, 1)), 0);
    progress.best = progress.valid_score > best_score;
    if (progress.best) {
      best_score = progress.valid_score;
      best_epoch = epoch;
      best.assign(values.begin(), values.end());
    }
    adam.swap_mean();
    if (report) report(progress);
  }
  std::copy(best.begin(), best.end(), values.begin());
}

}  // namespace thinkrec
