#pragma once
// A small synthetic data set with taste in it, and what the encoder tests share.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "support/testing.h"
#include "encoders/encoder.h"
#include "encoders/random.h"

namespace thinkrec::testing {

/// The tensors here are too small for threads, which on a busy machine spend their time waiting for each other.
inline const bool kOneThread = (at::set_num_threads(1), true);

/// Each item has a quality and one of two kinds, each user a favourite kind; a label is a noisy sum of them. Users have 1 to
/// `longest` interactions; time runs over all users, 60 % train, 20 % valid, 20 % test.
inline Dataset taste_dataset(int users, int items, int longest, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<double> quality(items);
  for (double& value : quality) value = std::normal_distribution<>(0, 0.7)(random);
  Dataset dataset;
  dataset.name = "taste";
  dataset.items.resize(items);
  dataset.users.resize(users);
  dataset.user_begin = {0};
  for (int user = 0; user < users; ++user) {
    const int count = std::uniform_int_distribution<>(1, longest)(random), favourite = static_cast<int>(random() % 2);
    std::vector<std::int64_t> times(count);
    for (auto& time : times) time = random() % 10000;
    std::sort(times.begin(), times.end());
    for (std::int64_t time : times) {
      const int item = static_cast<int>(random() % items);
      const double logit = quality[item] + (item % 2 == favourite ? 2.0 : -2.0);
      dataset.user.push_back(user);
      dataset.item.push_back(item);
      dataset.label.push_back(std::uniform_real_distribution<>()(random) < 1 / (1 + std::exp(-logit)));
      dataset.timestamp.push_back(time);
      dataset.splits[time < 6000 ? 0 : time < 8000 ? 1 : 2].push_back(dataset.interactions() - 1);
    }
    dataset.user_begin.push_back(dataset.interactions());
  }
  for (auto& rows : dataset.splits)
    std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return dataset.timestamp[a] < dataset.timestamp[b]; });
  return dataset;
}

/// Normal with deviation 1; libtorch's own generator begins differently in each process.
inline at::Tensor normal(std::vector<std::int64_t> shape, std::uint64_t seed) {
  const at::Tensor values = at::empty(shape, at::kFloat);
  fill_normal({values.data_ptr<float>(), static_cast<std::size_t>(values.numel())}, random_key({seed}), 1);
  return values;
}

inline EncoderConfig small_config(const std::string& kind) {
  EncoderConfig config;
  config.kind = kind;
  config.width = 16;
  config.heads = 2;
  config.max_length = 8;
  config.batch = 128;
  config.max_epochs = 3;
  config.learning_rate = 3e-3;
  config.seed = 7;
  return config;
}

/// Area under the ROC curve by counting pairs.
inline double area(const Dataset& dataset, const std::vector<std::int64_t>& rows, std::span<const double> scores) {
  double pairs = 0, right = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) {
      if (dataset.label[rows[i]] != 1 || dataset.label[rows[j]] != 0) continue;
      ++pairs;
      right += scores[i] > scores[j] ? 1.0 : scores[i] == scores[j] ? 0.5 : 0.0;
    }
  }
  return right / pairs;
}

inline std::unique_ptr<Encoder> trained(const EncoderConfig& config, const Dataset& dataset, Collectives& group,
                                        const EncoderReport& report = {}) {
  const auto judge = [&](std::span<const double> scores) { return area(dataset, dataset.rows(Split::kValid), scores); };
  return train_encoder(config, dataset, group, judge, report);
}

inline std::unique_ptr<Encoder> trained(const EncoderConfig& config, const Dataset& dataset) {
  const auto solo = make_solo_collectives();
  return trained(config, dataset, *solo);
}

inline std::vector<std::int64_t> all_rows(const Dataset& dataset) {
  std::vector<std::int64_t> rows(dataset.interactions());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
  return rows;
}

/// What every encoder promises about histories.
inline void expect_honest_histories(const Encoder& encoder, const Dataset& dataset) {
  const std::vector<std::int64_t> rows = all_rows(dataset);
  const at::Tensor vectors = encoder.user_vectors(dataset, rows);
  ASSERT_EQ(vectors.sizes(), at::IntArrayRef({dataset.interactions(), encoder.width()}));
  EXPECT_TRUE(at::isfinite(vectors).all().item<bool>());
  // Empty histories: one vector for all users.
  const at::Tensor empty = vectors[0];
  for (std::size_t user = 1; user < dataset.users.size(); ++user)
    EXPECT_TRUE(at::equal(vectors[dataset.user_begin[user]], empty));
  // The row itself and later ones do not count.
  Dataset other = dataset;
  const std::int64_t begin = dataset.user_begin[3], end = dataset.user_begin[4];
  ASSERT_GE(end - begin, 4);
  for (std::int64_t row = begin + 2; row < end; ++row) {
    other.item[row] = (other.item[row] + 1) % static_cast<int>(other.items.size());
    other.label[row] ^= 1;
  }
  const at::Tensor changed = encoder.user_vectors(other, rows);
  EXPECT_TRUE(at::equal(vectors.narrow(0, 0, begin + 3), changed.narrow(0, 0, begin + 3)));
  EXPECT_FALSE(at::equal(vectors[begin + 3], changed[begin + 3]));
  EXPECT_TRUE(at::equal(vectors.narrow(0, end, rows.size() - end), changed.narrow(0, end, rows.size() - end)));
  // A disliked item is not a liked one.
  other = dataset;
  other.label[begin] ^= 1;
  EXPECT_GT((encoder.user_vectors(other, rows)[begin + 1] - vectors[begin + 1]).abs().max().item<double>(), 1e-4);
  // Alone or in company, in whatever order: the same bits.
  for (std::int64_t row : {begin, begin + 3, end - 1, dataset.interactions() - 1})
    EXPECT_TRUE(at::equal(encoder.user_vectors(dataset, std::span(&row, 1))[0], vectors[row]));
  const std::vector<std::int64_t> mixed = {end - 1, 0, begin + 1, end - 1};
  const at::Tensor some = encoder.user_vectors(dataset, mixed);
  for (std::size_t i = 0; i < mixed.size(); ++i) EXPECT_TRUE(at::equal(some[i], vectors[mixed[i]]));
  // On however many threads: the same bits.
  const int threads = at::get_num_threads();
  for (int count : {1, 2, 3}) {
    at::set_num_threads(count);
    EXPECT_TRUE(at::equal(encoder.user_vectors(dataset, rows), vectors));
    EXPECT_TRUE(at::equal(encoder.user_vectors(dataset, std::span(rows).subspan(end - 1, 1))[0], vectors[end - 1]));
  }
  at::set_num_threads(threads);
  // Groups: just before the first test row; after everything where there is none, which no row sees.
  const at::Tensor groups = encoder.group_vectors(dataset);
  ASSERT_EQ(groups.sizes(), at::IntArrayRef({static_cast<std::int64_t>(dataset.users.size()), encoder.width()}));
  EXPECT_TRUE(at::isfinite(groups).all().item<bool>());
  std::vector<std::int64_t> first_test(dataset.users.size(), -1);
  for (std::int64_t row : dataset.rows(Split::kTest))
    if (first_test[dataset.user[row]] < 0 || row < first_test[dataset.user[row]]) first_test[dataset.user[row]] = row;
  for (std::size_t user = 0; user < first_test.size(); ++user)
    EXPECT_TRUE(first_test[user] < 0 || at::equal(groups[user], vectors[first_test[user]]));
  // Scores are the dot products.
  const std::vector<double> scores = encoder.scores(dataset, mixed);
  for (std::size_t i = 0; i < mixed.size(); ++i)
    EXPECT_NEAR(scores[i], some[i].dot(encoder.item_vectors()[dataset.item[mixed[i]]]).item<double>(), 1e-4);
}

/// parameters() and restore_encoder() are inverses, and the latter refuses what does not fit.
inline void expect_restores(const Encoder& encoder, const Dataset& dataset) {
  const auto rows = all_rows(dataset);
  auto parameters = encoder.parameters();
  const auto restored = restore_encoder(encoder.config(), dataset, parameters);
  EXPECT_TRUE(at::equal(restored->item_vectors(), encoder.item_vectors()));
  EXPECT_TRUE(at::equal(restored->user_vectors(dataset, rows), encoder.user_vectors(dataset, rows)));
  EXPECT_TRUE(at::equal(restored->group_vectors(dataset), encoder.group_vectors(dataset)));
  EXPECT_EQ(restored->scores(dataset, rows), encoder.scores(dataset, rows));

  const auto restore = [&] { restore_encoder(encoder.config(), dataset, parameters); };
  const auto last = parameters.back();
  parameters.pop_back();
  expect_error(ExitCode::kBadData, last.first + " is missing", restore);
  parameters.emplace_back(last.first, at::zeros({3, 1, 2}));
  expect_error(ExitCode::kBadData, last.first + " has shape [3, 1, 2]", restore);
  parameters.back() = last;
  parameters.emplace_back("other.thing", at::zeros({1}));
  expect_error(ExitCode::kBadData, "other.thing is not one", restore);
}

}  // namespace thinkrec::testing
